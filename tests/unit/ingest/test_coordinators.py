"""What a coordinator answers about a group as a whole is raised; what it answers about partitions is handed on."""

from types import SimpleNamespace
from typing import Any, get_args

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError, KafkaError
from aiokafka.protocol.commit import OffsetFetchRequestStruct, OffsetFetchResponse_v1, OffsetFetchResponse_v3
from aiokafka.structs import OffsetAndMetadata

from ingest.adapters.coordinators import heed, offsets_of
from ingest.adapters.membership import refused

NAMED = [("t", [(0, 7, "", 0), (1, -1, "", 0)])]


async def answered(answer: Any) -> Any:
    """Return what a heeding client is answered."""

    async def send(node: int, request: object, *, group: int) -> Any:
        assert (node, request, group) == (1, "asked", 0)
        return answer

    client = SimpleNamespace(_client=SimpleNamespace(send=send))
    heed(client)
    return await client._client.send(1, "asked", group=0)


@pytest.mark.parametrize(("code", "raised"), [(14, GroupLoadInProgressError), (30, GroupAuthorizationFailedError)])
async def test_an_error_of_the_group_as_a_whole_is_raised(code: int, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        await answered(OffsetFetchResponse_v3(0, [], code))


async def test_an_error_that_the_client_does_not_know_is_no_other_members() -> None:
    """It calls the loss of a member's name unknown, too."""
    with pytest.raises(KafkaError, match="error 88") as raised:
        await answered(OffsetFetchResponse_v3(0, [], 88))
    assert "PLATETRAIL_INSTANCE" not in str(refused(raised.value))


def test_the_client_asks_in_no_version_that_hides_its_errors_elsewhere() -> None:
    """From version 8 on there is an error for each of several groups."""
    assert {one.API_VERSION for one in get_args(OffsetFetchRequestStruct)} == {1, 2, 3}


@pytest.mark.parametrize(
    "answer", [OffsetFetchResponse_v3(0, NAMED, 0), OffsetFetchResponse_v1(NAMED), SimpleNamespace(error_code=14), None]
)
async def test_any_other_answer_is_handed_on(answer: Any) -> None:
    assert await answered(answer) is answer


async def test_offsets_are_asked_for_until_the_coordinator_can_say_them() -> None:
    class Admin:
        asked = 0

        async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
            self.asked += 1
            if self.asked < 3:
                raise GroupLoadInProgressError
            found = [OffsetAndMetadata(7, "x"), OffsetAndMetadata(-1, "")]
            return {TopicPartition(group, number): one for number, one in enumerate(found)}

    admin = Admin()
    assert await offsets_of(admin, "g") == {TopicPartition("g", 0): OffsetAndMetadata(7, "x")}
    assert admin.asked == 3


async def test_what_waiting_does_not_help_is_raised() -> None:
    class Admin:
        async def list_consumer_group_offsets(self, _: str) -> None:
            raise GroupAuthorizationFailedError

    with pytest.raises(GroupAuthorizationFailedError):
        await offsets_of(Admin(), "g")
