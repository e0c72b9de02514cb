"""The greedy log on stores in memory: its batches, its limits, and what it does when a store fails."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, disclose
from search.audit.adapters.memory import MemoryConnect, MemoryStore, MemoryTables
from search.audit.errors import LogBusy, LogRefused, LogUnavailable, LogUnfit
from search.audit.log import GreedyLog
from search.audit.ports import Span, Writing
from search.audit.secrets import Sealer
from tests.support.wait import until_async

SEALER = Sealer(X25519PrivateKey.generate().public_key())


class SlowStore(MemoryStore):
    """A store that appends when it is let: `gate` is set, unless a test clears it."""

    def __init__(self, tables: MemoryTables, gate: asyncio.Event) -> None:
        super().__init__(tables)
        self.gate = gate
        self.begun = 0

    async def append(self, batch: Sequence[Writing]) -> Span:
        """Wait for the gate, then append."""
        self.begun += 1
        await self.gate.wait()
        return await super().append(batch)


class SlowConnect:
    """Opens slow stores on the same tables."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.gate = asyncio.Event()
        self.gate.set()
        self.opened: list[SlowStore] = []

    async def __call__(self) -> SlowStore:
        """Open a store."""
        self.opened.append(SlowStore(self.tables, self.gate))
        return self.opened[-1]


def entry(**public: Any) -> Entry:
    return Entry(kind="intent", public=public, disclosures=(disclose("person", "ana"),))


async def begun(connect: SlowConnect, appends: int) -> None:
    async def has_begun() -> bool:
        return sum(store.begun for store in connect.opened) >= appends

    await until_async(has_begun, "the store has begun to append")


async def test_a_batch_is_what_came_while_the_last_one_was_written() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER, batch_limit=8)
    await log.start()
    connect.gate.clear()
    first = asyncio.create_task(log.append(entry()))
    await begun(connect, 1)
    others = [asyncio.create_task(log.append(entry())) for _ in range(20)]
    await asyncio.sleep(0)
    connect.gate.set()
    receipts = await asyncio.gather(first, *others)
    assert connect.opened[0].batches == [1, 8, 8, 4]
    assert [receipt.index for receipt in receipts] == list(range(21))
    await log.stop()


async def test_a_full_queue_refuses_at_once() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER, queue_limit=3)
    await log.start()
    connect.gate.clear()
    first = asyncio.create_task(log.append(entry()))
    await begun(connect, 1)
    waiting = [asyncio.create_task(log.append(entry())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(LogBusy):
        await log.append(entry())
    connect.gate.set()
    assert len(await asyncio.gather(first, *waiting)) == 4
    await log.stop()


async def test_a_store_that_hangs_is_dropped_and_all_that_waits_fails() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER, timeout_s=0.05)
    await log.start()
    connect.gate.clear()
    waiting = [asyncio.create_task(log.append(entry())) for _ in range(3)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, LogUnavailable) for result in results)
    assert connect.opened[0].closed
    connect.gate.set()
    assert (await log.append(entry())).index == 0
    assert len(connect.opened) == 2
    await log.stop()


async def test_an_outage_fails_entries_and_heals_by_itself() -> None:
    tables = MemoryTables()
    log = GreedyLog(MemoryConnect(tables), SEALER)
    await log.start()
    tables.down = True
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            await log.append(entry())
    assert not log.ready
    tables.down = False

    async def ready() -> bool:
        return log.ready

    await until_async(ready, "the log has connected anew")
    assert (await log.append(entry())).index == 0
    await log.stop()


async def test_each_connection_has_a_data_key_of_its_own() -> None:
    tables = MemoryTables()
    connect = MemoryConnect(tables)
    log = GreedyLog(connect, SEALER)
    await log.start()
    await log.append(entry())
    await log.append(entry())
    connect.opened[0].terminate()
    await log.append(entry())
    used = [writing.data_key for writing in tables.writings]
    assert used[0] == used[1] != used[2]
    assert set(used) == set(tables.data_keys)
    await log.stop()


async def test_what_nobody_waits_for_any_more_is_not_recorded() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER)
    await log.start()
    connect.gate.clear()
    on_its_way = asyncio.create_task(log.append(entry(number=1)))
    await begun(connect, 1)
    given_up, wanted = (asyncio.create_task(log.append(entry(number=number))) for number in (2, 3))
    await asyncio.sleep(0)
    on_its_way.cancel()
    given_up.cancel()
    await asyncio.sleep(0)
    connect.gate.set()
    assert (await wanted).index == 1
    assert [body["number"] for body in connect.tables.bodies] == [1, 3]
    await log.stop()


async def test_stop_writes_what_waits_and_takes_no_more() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER)
    await log.start()
    waiting = [asyncio.create_task(log.append(entry())) for _ in range(5)]
    await asyncio.sleep(0)
    await log.stop()
    assert [receipt.index for receipt in await asyncio.gather(*waiting)] == list(range(5))
    assert connect.opened[0].closed
    with pytest.raises(LogUnavailable):
        await log.append(entry())


async def test_a_log_that_was_not_started_takes_nothing() -> None:
    with pytest.raises(LogUnavailable):
        await GreedyLog(MemoryConnect(MemoryTables()), SEALER).append(entry())


async def test_it_does_not_start_on_a_head_that_contradicts_itself() -> None:
    tables = MemoryTables()
    tables.tree.add(bytes(32))
    connect = MemoryConnect(tables)
    with pytest.raises(LogUnfit):
        await GreedyLog(connect, SEALER).start()
    assert connect.opened[0].closed


async def test_an_entry_without_canonical_form_fails_its_caller_alone() -> None:
    log = GreedyLog(MemoryConnect(MemoryTables()), SEALER)
    await log.start()
    good, bad = asyncio.create_task(log.append(entry())), asyncio.create_task(log.append(entry(speed=1.5)))
    assert (await good).index == 0
    with pytest.raises(TypeError):
        await bad
    await log.stop()


async def test_refused_entries_fail_alone_wherever_they_stand_in_a_batch() -> None:
    connect = SlowConnect()
    log = GreedyLog(connect, SEALER)
    await log.start()
    connect.gate.clear()
    first = asyncio.create_task(log.append(entry()))
    await begun(connect, 1)
    entries = [Entry(kind="denial", public={}, ends=99) if number % 3 == 0 else entry() for number in range(9)]
    waiting = [asyncio.create_task(log.append(one)) for one in entries]
    await asyncio.sleep(0)
    connect.gate.set()
    results = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [isinstance(result, LogRefused) for result in results[1:]] == [number % 3 == 0 for number in range(9)]
    assert len(connect.tables.leaves) == 7
    await log.stop()
