"""The look at the inboxes: it bears an outage, begins anew after it, and is well only while it sees."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from ingest.alarm import Standing
from ingest.errors import Unavailable
from ingest.lookout import Lookout

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ = Standing(unread=0, oldest_at=None)
LATE = Standing(unread=7, oldest_at=AT - timedelta(seconds=181))


class Inboxes:
    """Inboxes that stand as they are told, or can't be looked at."""

    def __init__(self) -> None:
        self.standing: Standing | None = READ
        self.connected = False
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.standing is None:
            raise Unavailable("switched off")
        self.connected = True

    async def stop(self) -> None:
        self.connected = False

    async def look(self) -> Mapping[str, Standing]:
        assert self.connected
        if self.standing is None:
            raise Unavailable("switched off")
        return {"north": self.standing}


async def spin_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is watched has no event
        await asyncio.sleep(0)


async def test_an_outage_is_borne_and_all_is_well_only_while_it_sees() -> None:
    inboxes = Inboxes()
    shown: list[tuple[str, Standing, datetime]] = []
    lookout = Lookout(inboxes, lambda *told: shown.append(told), every_s=0, clock=lambda: AT)
    assert [lookout.well] == [False], "nobody has looked yet"
    with capture_logs() as logs:
        running = asyncio.create_task(lookout.run())
        await spin_until(lambda: lookout.well)
        inboxes.standing = None
        await spin_until(lambda: not lookout.well)
        before = inboxes.starts
        await spin_until(lambda: inboxes.starts > before)
        inboxes.standing = READ
        await spin_until(lambda: lookout.well)
        inboxes.standing = LATE
        await spin_until(lambda: not lookout.well)
        assert not running.done()
        running.cancel()
        await asyncio.wait({running})
    assert not inboxes.connected
    assert shown[0] == ("north", READ, AT)
    assert shown[-1] == ("north", LATE, AT)
    assert {line["reason"] for line in logs if line["event"] == "unwatched"} == {"switched off"}
    assert [line["unread"] for line in logs if line["event"] == "inbox_late"] == [7]


async def test_a_fault_of_ours_ends_it_and_lets_go_of_the_broker() -> None:
    class Broken(Inboxes):
        async def look(self) -> Mapping[str, Standing]:
            raise KeyError("planted")

    broken = Broken()
    running = asyncio.create_task(Lookout(broken, lambda *_: None, every_s=0).run())
    await asyncio.wait({running})
    assert isinstance(running.exception(), KeyError)
    assert not broken.connected
