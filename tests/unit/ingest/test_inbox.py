"""What becomes of the records of a camera network, in memory."""

import asyncio
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.adapters.memory import InMemory, MemoryPublisher, MemoryRegistry
from ingest.adapters.memory_batches import MemorySource, MemoryTopic
from ingest.errors import Misconfigured, PublishError
from ingest.inbox import Inbox
from ingest.ports import Message, Observer, Trace, TracedRecord
from ingest.receive import Receiver
from ingest.runner import Limits
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason
from schemas.detections import Detection, default_key, event_id
from schemas.owners import OwnerRules
from tests.support.cameras import camera

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = Limits(outage_s=0.2, first_wait_s=0.001, longest_wait_s=0.01)


def read(**changes: Any) -> bytes:
    return json.dumps({"captured_at": AT.isoformat(), "plate": "NBX0042", **changes}).encode()


class Spoken:
    """A `Trace` of one record."""

    def __init__(self, number: int, ended: dict[bytes, dict[str, int]]) -> None:
        self.header = b"trace %d" % number
        self.ended = ended

    def end(self, fates: Mapping[str, int]) -> None:
        assert self.header not in self.ended
        self.ended[self.header] = dict(fates)


class Watching(Observer):
    """Traces every record but the first of a batch, and adds up what it is told."""

    def __init__(self) -> None:
        self.ended: dict[bytes, dict[str, int]] = {}
        self.heard: Counter[str] = Counter()

    def traced(self, messages: Sequence[Message]) -> Mapping[int, Trace]:
        return {at: Spoken(at, self.ended) for at in range(1, len(messages))}

    def fetched(self, records: int) -> None:
        self.heard["fetched"] += records

    def finished(self, *, committed: bool) -> None:
        self.heard["finished"] += committed

    def made(self, *, written: int, dropped: int, again: int, letters: Mapping[Reason, int]) -> None:
        self.heard.update({"written": written, "dropped": dropped, "again": again})
        for reason, number in letters.items():
            self.heard[reason] += number


class Rig:
    """The relay of the network `north` on a topic in memory."""

    def __init__(self, *cameras: Camera) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InMemory)
            self.topic = MemoryTopic("inbox.north")
            self.publisher = MemoryPublisher()
            registry = MemoryRegistry(list(cameras))
        self.counted: Counter[tuple[str, str]] = Counter()
        self.observer = Watching()
        self.inbox = Inbox(
            "north",
            MemorySource(self.topic),
            registry,
            Receiver(self.publisher, OwnerRules(), future_limit_s=300),
            items=3,
            count=lambda status, reason, number: self.counted.update({(status, reason): number}),
            limits=SOON,
            observer=self.observer,
        )

    async def relay(self, key: bytes | None, *values: bytes | None, at: datetime = AT) -> dict[tuple[str, str], int]:
        """Relay records of one key; return what was counted."""
        self.counted.clear()
        for value in values:
            self.topic.put(value, key=key, timestamp=int(at.timestamp() * 1000))
        stop = asyncio.Event()
        running = asyncio.create_task(self.inbox.run(stop))
        while self.topic.lag() and not running.done():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0)
        stop.set()
        await running
        return dict(self.counted)

    def detections(self) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in self.publisher.records.get(topics.DETECTIONS, [])]

    def letters(self) -> list[DeadLetter]:
        return [wire.decode(value, DeadLetter) for _, value in self.publisher.records.get(topics.DEAD_LETTERS, [])]


async def test_a_record_is_what_the_gateway_would_have_made_of_it_with_the_brokers_time_of_arrival() -> None:
    one, _ = camera("cam-1", network="north")
    rig = Rig(one)
    arrived = AT + timedelta(seconds=1.25)
    assert await rig.relay(b"cam-1", read(driver={"age": 40}), at=arrived) == {("accepted", ""): 1}
    [detection] = rig.detections()
    assert detection.event_id == event_id("cam-1", default_key(AT, "NBX0042", None))
    assert (detection.camera_id, detection.owner, detection.format) == ("cam-1", "north", "native")
    assert (detection.claimed_at, detection.captured_at, detection.received_at) == (AT, AT, arrived)


CAMERAS = {
    "nobodys": camera("nobodys")[0],
    "souths": camera("souths", network="south")[0],
    "retired": camera("retired", network="north", active=False)[0],
    "early": camera("early", network="north", active_from=AT + timedelta(seconds=1))[0],
    "over": camera("over", network="north", active_until=AT)[0],
    "ephemeral": camera("ephemeral", network="north", handling="ephemeral")[0],
}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"nobodys", "other_network"),
        (b"souths", "other_network"),
        (b"retired", "retired"),
        (b"early", "not_active"),
        (b"over", "not_active"),
        (b"ephemeral", "ephemeral"),
        (b"unheard-of", "unknown_camera"),
        (b"\xff\xfe", "unknown_camera"),
        (b"", "unknown_camera"),
        (None, "unknown_camera"),
    ],
)
async def test_who_may_not_speak_is_refused_and_counted_and_nothing_is_kept(key: bytes | None, reason: str) -> None:
    rig = Rig(*CAMERAS.values())
    assert await rig.relay(key, read()) == {("refused", reason): 1}
    assert rig.publisher.records == {}


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (read(camera_id="souths"), ("rejected", "other_camera")),
        (read(captured_at="2026-03-01T12:00:00"), ("rejected", "shape")),
        (read(captured_at=(AT - timedelta(days=31)).isoformat()), ("dropped", "past_retention")),
        (None, ("rejected", "not_json")),
        (b"", ("rejected", "not_json")),
        (b"{", ("rejected", "not_json")),
        (b'{"plate":"a","plate":"b"}', ("rejected", "duplicate_key")),
        (b"[" * 100 + b"]" * 100, ("rejected", "too_deep")),
        (b"[1,2,3,4]", ("rejected", "too_many")),
    ],
)
async def test_what_is_at_fault_is_counted_and_nothing_is_kept(value: bytes | None, outcome: tuple[str, str]) -> None:
    one, _ = camera("cam-1", network="north")
    rig = Rig(one, CAMERAS["souths"])
    assert await rig.relay(b"cam-1", value) == {outcome: 1}
    assert rig.publisher.records == {}


async def test_what_lies_ahead_is_set_aside_as_the_gateway_does() -> None:
    one, _ = camera("cam-1", network="north")
    rig = Rig(one)
    ahead = read(captured_at=(AT + timedelta(minutes=6)).isoformat())
    assert await rig.relay(b"cam-1", ahead) == {("rejected", "clock_future"): 1}
    [letter] = rig.letters()
    assert (letter.stage, letter.reason, letter.camera_id) == ("gateway", "clock_future", "cam-1")
    assert rig.detections() == []


async def test_a_camera_is_read_in_the_format_that_it_is_registered_with() -> None:
    one, _ = camera("cam-1", network="north", format="frigate")
    rig = Rig(one)
    event = {"type": "lpr", "plate": "NBX0043", "timestamp": AT.timestamp(), "id": "1", "camera": "gate"}
    counted = await rig.relay(b"cam-1", json.dumps(event).encode())
    assert counted == {("accepted", ""): 1}
    assert [(one.format, one.plate_raw) for one in rig.detections()] == [("frigate", "NBX0043")]


async def test_a_record_that_breaks_us_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = camera("cam-1", network="north")
    rig = Rig(one)
    broken, whole = Receiver.prepare, b'{"breaks": 1}'

    def prepare(self: Receiver, format_: str, of: Camera, payloads: Any, at: datetime) -> Any:
        if payloads == [{"breaks": 1}]:
            raise RuntimeError("NBX0042")
        return broken(self, format_, of, payloads, at)

    monkeypatch.setattr(Receiver, "prepare", prepare)
    assert await rig.relay(b"cam-1", whole, read()) == {("rejected", "poisoned"): 1, ("accepted", ""): 1}


async def test_what_becomes_of_each_record_is_told_and_goes_out_with_its_own_trace() -> None:
    rig = Rig(camera("cam-1", network="north")[0])
    values = [read(plate="NBX0001"), read(plate="NBX0002"), b"no read", read(plate="NBX0003")]
    ahead = read(captured_at=(AT + timedelta(hours=1)).isoformat())
    assert (await rig.relay(b"cam-1", *values, ahead))[("accepted", "")] == 3
    heard = rig.observer.heard
    assert (heard["fetched"], heard["written"], heard["dropped"], heard["clock_future"]) == (5, 3, 1, 1)
    assert heard["finished"] == 1
    records = rig.publisher.records[topics.DETECTIONS]
    traces = [one.traceparent if isinstance(one, TracedRecord) else None for one in records]
    plates = [detection.plate_raw for detection in rig.detections()]
    assert list(zip(plates, traces, strict=True)) == [
        ("NBX0001", None),
        ("NBX0002", b"trace 1"),
        ("NBX0003", b"trace 3"),
    ]
    assert rig.observer.ended == {
        b"trace 1": {"written": 1},
        b"trace 2": {"dropped": 1},
        b"trace 3": {"written": 1},
        b"trace 4": {"dead_letter": 1},
    }


async def test_a_broker_that_refuses_detections_ends_it_and_nothing_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = camera("cam-1", network="north")
    rig = Rig(one)

    async def refuse(_: str, items: Any) -> list[PublishError]:
        return [PublishError("TopicAuthorizationFailedError") for _ in items]

    monkeypatch.setattr(rig.publisher, "publish", refuse)
    with pytest.raises(Misconfigured):
        await rig.relay(b"cam-1", read())
    assert (rig.topic.committed, rig.counted) == ([0], Counter())
