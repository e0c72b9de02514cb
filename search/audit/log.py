"""The log of one process: one connection that appends, in greedy batches.

A batch is whatever arrived while the one before was being flushed to disk: one fsync serves all of it, and nobody
waits for company. Any error or timeout drops the connection and fails everything that waits; the log connects anew by
itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from schemas.entries import Entry
from search.audit.errors import LogBusy, LogError, LogRefused, LogUnavailable
from search.audit.ports import Appended, Connect, Span, Store
from search.audit.secrets import DataKey, Sealer

BATCH_LIMIT: Final = 256
QUEUE_LIMIT: Final = 2048
CLIENT_TIMEOUT_S: Final = 2.0
"""Longer than the server's own statement timeout (1.5 s), which takes back what it had not committed."""
RECONNECT_S: Final = 1.0


class _Waiting:
    """An entry in the queue, its leaf, and who waits for it."""

    __slots__ = ("entry", "future", "leaf")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.leaf = entry.leaf()
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

    def fail(self, error: LogError) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, index: int, span: Span) -> None:
        if not self.future.done():
            self.future.set_result(Appended(index=index, leaf=self.leaf, size=span.size, root=span.root))


class GreedyLog:
    """A `Log` on a store. `start` before the first entry, `stop` at the end."""

    def __init__(
        self,
        connect: Connect,
        sealer: Sealer,
        *,
        batch_limit: int = BATCH_LIMIT,
        queue_limit: int = QUEUE_LIMIT,
        timeout_s: float = CLIENT_TIMEOUT_S,
    ) -> None:
        """Append through connections that `connect` opens, sealing with `sealer`; a batch has `timeout_s` seconds."""
        self._connect = connect
        self._sealer = sealer
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._timeout_s = timeout_s
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._store: Store | None = None
        self._kept: DataKey | None = None
        self._running = False
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, check that the database may hold a log, and begin to write.

        Raises LogUnfit if commits are not durable or the head contradicts itself, LogUnavailable.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connected()
        except TimeoutError:
            raise LogUnavailable("timeout") from None
        self._running = True
        self._writer = asyncio.create_task(self._write_on(), name="audit log")

    async def stop(self) -> None:
        """Write what is waiting, and close. Entries that come later raise LogUnavailable."""
        self._running = False
        self._arrived.set()
        if self._writer is not None:
            await self._writer
        self._drop()

    async def append(self, entry: Entry) -> Appended:
        """Record an entry: see `Log`."""
        if not self._running:
            raise LogUnavailable("stopped")
        if len(self._queue) >= self._queue_limit:
            raise LogBusy("queue")
        waiting = _Waiting(entry)
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.future

    @property
    def ready(self) -> bool:
        """Tell whether the log is connected; a lost connection is found, and made anew, within a second or so."""
        return self._running and self._store is not None and not self._store.closed

    async def _write_on(self) -> None:
        while self._running or self._queue:
            self._arrived.clear()
            if batch := self._take():
                await self._write(batch)
            elif self.ready:
                await self._pause()
            elif self._running:
                await self._reconnect()

    def _take(self) -> list[_Waiting]:
        """Take a batch out of the queue, leaving out what nobody waits for any more."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._batch_limit:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch

    async def _pause(self) -> None:
        """Wait for an entry; now and then look whether the connection is still there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_S):
                await self._arrived.wait()

    async def _reconnect(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connected()
        except Exception:  # noqa: BLE001 - whatever it was, there is no connection: try again
            self._drop()
            await self._pause()

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                span = await self._append(batch)
        except LogRefused as error:
            await self._refused(batch, error)
        except LogError as error:
            self._give_up(batch, error.code)
        except Exception as error:  # noqa: BLE001 - asyncpg raises plain Exceptions when a backend dies
            self._give_up(batch, type(error).__name__)
        else:
            for index, waiting in enumerate(batch, start=span.first):
                waiting.succeed(index, span)

    async def _append(self, batch: list[_Waiting]) -> Span:
        store = await self._connected()
        key = self._sealer.current()
        if key is not self._kept:
            await store.put_data_key(key.id, key.wrapped)
            self._kept = key
        return await store.append([key.writing(waiting.entry, waiting.leaf) for waiting in batch])

    async def _connected(self) -> Store:
        if self._store is None or self._store.closed:
            self._drop()
            store = await self._connect()
            try:
                await store.check()
            except BaseException:
                store.terminate()
                raise
            self._store = store
        return self._store

    async def _refused(self, batch: list[_Waiting], error: LogRefused) -> None:
        """One entry was refused, and with it the batch: write them one by one, so that only it fails."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        for position, waiting in enumerate(batch):
            if not self.ready and self._running:
                self._give_up(batch[position:], "connection")
                return
            await self._write([waiting])

    def _give_up(self, batch: Iterable[_Waiting], code: str) -> None:
        """Fail the batch and all that waits behind it: it would fare no better, and its callers hold deadlines."""
        self._drop()
        behind: Sequence[_Waiting] = list(self._queue)
        self._queue.clear()
        for waiting in (*batch, *behind):
            waiting.fail(LogUnavailable(code))

    def _drop(self) -> None:
        """Drop the connection, and the data key with it: it is not known which of its statements were done."""
        if self._store is not None:
            self._store.terminate()
        self._store = None
        self._kept = None
        self._sealer.renew()
