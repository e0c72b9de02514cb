"""A camera network's own topic into the gateway's: what the gateway does with a request is done with each record.

A record's key names the camera; its value is one message of the format that the camera is registered with. The network
may speak for its own cameras alone. What is refused is counted, and nothing of it is written anywhere.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

import structlog

from ingest import bodies, envelopes, traces
from ingest.errors import Misconfigured, Unreadable
from ingest.formats.payload import NotUsable
from ingest.formats.table import NATIVE
from ingest.ports import UNOBSERVED, Fetched, Message, Observer, Part, Registry, Source, Trace
from ingest.receive import Prepared, Receiver
from ingest.runner import Finish, Limits, Runner
from ingest.traces import Fate
from schemas.cameras import Camera

Refusal = Literal["unknown_camera", "other_network", "retired", "not_active", "ephemeral"]
"""Why nothing of a record is looked at. Each is a label of a metric, so the list is closed."""

Judged = Prepared | tuple[str, str]
"""What is to be written of a record, or its status and reason."""

Count = Callable[[str, str, int], None]
"""Counts items: status, reason, how many."""

PAUSE_S: Final = 5.0
"""How long nothing is read of a network whose next record can't be."""

_BREATH: Final = 50
"""After so many records the loop's other tasks have their turn."""

_LOG: Final = structlog.get_logger()


class Inbox(Runner):
    """The reader of one network's topic. It counts what is committed: a batch that is done again counts once."""

    def __init__(
        self,
        network: str,
        source: Source,
        registry: Registry,
        receiver: Receiver,
        *,
        items: int,
        count: Count = lambda *_: None,
        parts: Sequence[Part] = (),
        limits: Limits | None = None,
        observer: Observer = UNOBSERVED,
    ) -> None:
        """Know the network and the parts; a record holds at most `items` reads."""
        super().__init__(f"inbox {network}", source, parts=parts, limits=limits, observer=observer)
        self._network = network
        self._registry = registry
        self._receiver = receiver
        self._items = items
        self._count = count
        self._total: Counter[str] = Counter()

    async def _prepare(self, fetched: Fetched) -> Finish:
        traced = self._observer.traced(fetched.messages)
        with self._timed("function"):
            judged = await self._judged(fetched.messages)
        return partial(self._finished, fetched, judged, traced)

    async def _finished(self, fetched: Fetched, judged: Sequence[Judged], traced: Mapping[int, Trace]) -> None:
        places = [at for at, one in enumerate(judged) if isinstance(one, Prepared)]
        prepared = [one for one in judged if isinstance(one, Prepared)]
        headers = traces.headers(traced, places)
        if prepared:
            with self._timed("write"):
                await self._through_outages(lambda: self._publish(prepared, headers))
        committed = await self._commit(fetched)
        if committed:
            self._tally(judged)
        for at, trace in traced.items():
            trace.end({_fate(judged[at]) if committed else "refused": 1})

    def _done(self) -> Mapping[str, int]:
        return self._total

    async def _judged(self, messages: Sequence[Message]) -> list[Judged]:
        """Return what is to be written for each record, or its status and reason."""
        cameras = [self._camera(message) for message in messages]
        if any(isinstance(camera, str) for camera in cameras):
            # The registry may lag behind a record that was written for a camera as soon as it was registered.
            await self._through_outages(self._registry.caught_up)
            cameras = [self._camera(message) for message in messages]
        judged: list[Judged] = []
        for message, camera in zip(messages, cameras, strict=True):
            judged.append(("refused", camera) if isinstance(camera, str) else self._prepared(message, camera))
            if len(judged) % _BREATH == 0:
                await asyncio.sleep(0)
        return judged

    def _camera(self, message: Message) -> Camera | Refusal:
        """Return the camera for which a record speaks, if this network may and the camera may push."""
        camera = self._registry.get((message.key or b"").decode(errors="replace"))
        if camera is None:
            return "unknown_camera"
        if camera.network != self._network:
            return "other_network"
        if not camera.active:
            return "retired"
        if not camera.active_at(_appended_at(message)):
            return "not_active"
        return "ephemeral" if camera.handling == "ephemeral" else camera

    def _prepared(self, message: Message, camera: Camera) -> Judged:
        try:
            payloads, format_ = message.value or b"", camera.format or NATIVE
            found = (
                bodies.payloads(payloads, bodies.JSON, self._items)
                if format_ == NATIVE
                else envelopes.messages(payloads, "")
            )
            return self._receiver.prepare(format_, camera, found, _appended_at(message))
        except NotUsable as fault:
            return "rejected", fault.reason
        except bodies.TooMany:
            return "rejected", "too_many"
        except Exception as error:  # noqa: BLE001 - one record must not stop a network, nor one network all others
            # The name of the error alone: its text may quote the record.
            _LOG.error("poisoned", stage=self._name, error=type(error).__name__)
            return "rejected", "poisoned"

    async def _publish(self, prepared: Sequence[Prepared], headers: Mapping[int, bytes]) -> None:
        """Write what was prepared. Raises Unavailable, or Misconfigured if the broker refuses reads for good."""
        await self._receiver.publish_all(prepared, headers)
        if any(item.reason == "refused_by_broker" for one in prepared for item in one.items):
            raise Misconfigured("the broker refuses detections: may `inbox` write them?")

    def _tally(self, judged: Sequence[Judged]) -> None:
        counted: Counter[tuple[str, str]] = Counter()
        for one in judged:
            if isinstance(one, Prepared):
                counted.update((item.status, item.reason or "") for item in one.items)
            else:
                counted[one] += 1
        for (status, reason), number in counted.items():
            self._total[status] += number
            self._count(status, reason, number)
        fates = Counter(map(_fate, judged))
        letters = sum(len(one.letters) for one in judged if isinstance(one, Prepared))
        self._observer.made(
            written=fates["written"],
            dropped=fates["dropped"],
            again=0,
            letters={"clock_future": letters} if letters else {},
        )


async def keep_reading(
    make: Callable[[], Inbox], stop: asyncio.Event, ready: Callable[[], None], pause_s: float = PAUSE_S
) -> None:
    """Run a network's inbox until `stop` is set; begin anew, with another, where its next record can't be read.

    That record is the network's own doing and expires with its topic's ten minutes; other networks go on meanwhile.
    Raises whatever else ends an inbox.
    """
    while not stop.is_set():
        try:
            await make().run(stop, ready)
        except Unreadable as error:
            _LOG.error("unreadable", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)


def _fate(judged: Judged) -> Fate:
    """Return what became of a record: `written` if a read of it was, `dropped` if nothing was kept of it."""
    if isinstance(judged, Prepared):
        if judged.detections:
            return "written"
        if judged.letters:
            return "dead_letter"
    return "dropped"


def _appended_at(message: Message) -> datetime:
    """Return when the broker took a record: its arrival, and the same each time that the record is read."""
    return datetime.fromtimestamp(message.timestamp / 1000, UTC)
