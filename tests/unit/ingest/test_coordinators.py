"""What a coordinator answers about a group as a whole is raised; what it answers about partitions is handed on."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchResponse_v1, OffsetFetchResponse_v3
from aiokafka.structs import OffsetAndMetadata

from ingest.adapters.coordinators import heed, offsets_of

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
