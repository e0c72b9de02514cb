"""What a group's coordinator cannot say yet: the client takes that for a group that has no offsets."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    UnknownError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.structs import OffsetAndMetadata

RETRY_S: Final = 0.1

LOADED_S: Final = 30.0
"""How long a coordinator may take until it can say a group's offsets."""

_NOT_YET: Final = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


def heed(client: Any) -> None:
    """Let a consumer or an admin client of aiokafka's raise what a coordinator answers instead of a group's offsets.

    From version 2 of OffsetFetch on (KIP-88), a coordinator that is still loading, or is none, says so for the group as
    a whole, and names no partition. The client looks at the errors of partitions alone: a member whose broker had just
    started began at its topics' beginnings. Raised, it is an error after which the client asks again, of a coordinator
    that it looks for anew: a listener that waits in `on_partitions_assigned` for where its consumer stands would wait
    for good. To be called once, before the client is started.
    """
    asked = client._client  # noqa: SLF001 - there is no public way to what a client is answered
    send = asked.send

    async def heeding(*given: Any, **options: Any) -> Any:
        answer = await send(*given, **options)
        if getattr(answer, "API_KEY", None) == OffsetFetchResponse_v3.API_KEY:
            code = getattr(answer, "error_code", NoError.errno)
            error = for_code(code)
            if error is UnknownError:  # which is what the client calls the loss of a member's name, too
                raise KafkaError(f"a group's offsets were asked for, and the answer is error {code}")
            if error is not NoError:
                raise error("of the group as a whole")
        return answer

    asked.send = heeding


async def offsets_of(admin: Any, group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Return all offsets that a group has committed, as soon as its coordinator can say them.

    `admin` heeds what it is answered (`heed`). A broker that has just started has no coordinator for some seconds.
    Raises KafkaError, and TimeoutError after `LOADED_S`.
    """
    async with asyncio.timeout(LOADED_S):
        while True:
            try:
                found: Mapping[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
            except _NOT_YET:
                await asyncio.sleep(RETRY_S)
            else:
                return {at: one for at, one in found.items() if one.offset >= 0}
