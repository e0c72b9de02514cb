"""Nothing that is not listed is found anywhere after it went the whole way: gateway, Kafka, enricher, indexer, index.

Every sample is pushed with a marker in each field that its format's list does not name, and in what comes around it
(names of parts and files, headers, attributes, the query), on the ways that errors take too. Then every topic, every
table, the files of both servers, every log, the metrics and all answers are searched. That the search finds what is
there is shown by listed fields, and by a parser that lets unlisted ones through.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
import pytest

from ingest.adapters.kafka import KafkaPublisher
from ingest.formats import frigate, table
from ingest.formats.read import Outcome, Read, Rejected
from ingest.gateway import DETECTIONS_PATH, WEBHOOKS
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Attribute, Detection
from schemas.sightings import Sighting
from services.demo.kafka import Kafka
from services.demo.process import stop_all
from services.gateway import build
from services.settings import Settings
from tests.support import everywhere, samples, stages
from tests.support.allow_list import LISTED, Marker, markers
from tests.support.collector import collecting
from tests.support.database import Database
from tests.support.everywhere import Found
from tests.support.http import serving
from tests.support.topics import make_topics
from tests.support.wait import until_async
from tests.support.walk import JSON, OF_SAMPLES, OTHERS, PLATES, Pushed, Walk, marked
from tests.unit.ingest.formats.expected import EXPECTED
from tests.unit.ingest.formats.sightings import SEEN, reads, stated
from tests.unit.ingest.formats.test_sightings import fields

UNLISTED: Final = "XKWTVN"
LISTED_MARK: Final = "XKWTVM"
LONG: Final = "XKWTVW"
PAST: Final = "XKWTVH"
EPHEMERAL: Final = "XKWTVK"
LEAKED: Final = "XKWTVX"
SOON: Final = timedelta(minutes=5)

NATIVE_LISTED: Final = {
    *("captured_at", "plate", "plate_confidence", "region", "make.value", "make.confidence", "lane"),
    *("candidates.*.plate", "candidates.*.confidence", "position.latitude", "position.longitude"),
}
NATIVE: Final[dict[str, Any]] = {
    "plate": "EXA 0042",
    "plate_confidence": 0.9,
    "candidates": [{"plate": "EXA 0O42", "confidence": 0.5, "seen_by": "somebody"}],
    "region": "us-ma",
    "make": {"value": "bmw", "confidence": 0.5, "driver": "somebody"},
    "position": {"latitude": 1.5, "longitude": 2.5, "address": "somewhere"},
    "lane": 1,
    "driver": {"name": "somebody", "faces": [{"age": 30}]},
}
POISONING: Final = """
import services.enricher
def enrich(registry, rules, now, batch, places):
    raise ValueError(repr(batch))
services.enricher.enrich = enrich
services.enricher.main()
"""
FAULTY: Final = {name for name, (one, *_) in EXPECTED.items() if isinstance(one, Rejected) and one.reason == "time"}
READS: Final = sum(isinstance(outcome, Read) for outcomes in EXPECTED.values() for outcome in outcomes)
TOPICS: Final = {f"topic {name}" for name in (*topics.ALL, "__consumer_offsets")}


class Left(NamedTuple):
    """What is left of it all."""

    walk: Walk
    found: dict[str, set[Found]]
    records: list[tuple[str, bytes]]
    tables: Counter[str]
    passes: dict[str, set[Any]]
    spans: Sequence[str] = ()

    def detections(self, way: str) -> list[Detection]:
        """Return what is in the topic of the camera of a way."""
        return [one for one in self._of("detections", Detection) if one.camera_id in self._ids(way)]

    def sightings(self, way: str) -> list[Sighting]:
        """Return what became of them."""
        return [one for one in self._of("sightings", Sighting) if one.camera_id in self._ids(way)]

    def letters(self, way: str) -> list[DeadLetter]:
        """Return the dead letters of the camera of a way."""
        return [one for one in self._of("dead-letters", DeadLetter) if one.camera_id in self._ids(way)]

    def pushed(self, way: str) -> list[Pushed]:
        """Return the requests of a way."""
        return [one for one in self.walk.pushed if one.way == way]

    def _ids(self, way: str) -> set[str | None]:
        return {one.camera_id for one in self.walk.of(way)}

    def _of(self, topic: str, shape: Any) -> list[Any]:
        return [wire.decode(value.split(b"\0")[1], shape) for place, value in self.records if place == f"topic {topic}"]


@pytest.fixture(scope="module")
def left(kafka: Kafka, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Send everything everywhere, once for all tests here, and look."""
    walk = Walk(kafka, database, tmp_path_factory.mktemp("logs"), markers(UNLISTED))
    with collecting() as collector:
        walk.traces_endpoint = collector.endpoint
        try:
            left = asyncio.run(_went(kafka, database, walk))
        finally:
            stop_all(walk.children)  # with the last spans
    for prefix, found in left.found.items():
        found |= {one for body in collector.bodies for one in everywhere.in_bytes("traces", body, prefix)}
    return left._replace(spans=[span.name for span in collector.spans])


async def _went(kafka: Kafka, database: Database, walk: Walk) -> Left:
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    looking = await everywhere.from_now_on(kafka, database, walk.logs)
    async with KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher, walk.gateway() as port:
        await stages.put_cameras(publisher, *(one for one, _ in walk.cameras.values()))
        await _poison(kafka, walk)
        await _push(walk, port)
        retired = [msgspec.structs.replace(one, active=False, revision=1) for one in walk.of("retired")]
        await stages.put_cameras(publisher, *retired)
        for name in ("enricher", "indexer", "matcher", "counting"):
            await walk.process(name, ["-m", f"services.{name}"])
        await walk.process("health", ["-m", "services.health"], "platetrail_health")
        await _worked_off(kafka)
        await _reported(database, walk)
        walk.now = datetime.now(UTC).replace(microsecond=0)  # last, since such reads are gone within a minute or two
        await walk.samples("ephemeral", timedelta(), plate=f"{EPHEMERAL}3333")
        await walk.send("metrics", "gateway", "GET", "/metrics", {})
        await walk.watch()
        found = await looking.look(UNLISTED, LISTED_MARK, LONG, PAST, EPHEMERAL)
        for prefix in found:
            found[prefix] |= {one for push in walk.pushed for one in everywhere.in_bytes("answer", push.answer, prefix)}
        records = [one async for one in looking.records()]
        passes = {way: await _passes(database, walk.of(way)) for way in (*OF_SAMPLES, *OTHERS)}
        tables = Counter([place async for place, _ in everywhere.rows(database)])
        await _let_through(kafka, database, walk)
        found |= await looking.look(LEAKED)
    return Left(walk, found, records, tables, passes)


async def _reported(database: Database, walk: Walk) -> None:
    """Wait until something is known of every camera that had anything to say by now."""
    ids = [one.camera_id for way in ("listed", "native", "leaves", "future", "poisoned") for one in walk.of(way)]
    connection = await asyncpg.connect(database.superuser_url)

    async def known() -> bool:
        rows = await connection.fetch("select from registry.camera_health where camera_id = any($1)", ids)
        return len(rows) == len(ids)

    await until_async(known, "the health of all cameras is known")
    await connection.close()


async def _poison(kafka: Kafka, walk: Walk) -> None:
    """Push what an enricher that fails at each read, and says so with all of it, sets aside."""
    await walk.samples("poisoned", SOON)
    child = await walk.process("poisoning", ["-c", POISONING])
    await stages.until_worked_off(kafka.bootstrap, "platetrail-enricher")
    await asyncio.to_thread(child.stop)


async def _push(walk: Walk, port: int) -> None:
    await walk.samples("leaves", SOON)
    await walk.samples("wholes", SOON, whole=True)
    await walk.samples("retired", SOON)
    await walk.samples("future", -timedelta(hours=1))
    await walk.samples("past", timedelta(days=400), plate=f"{PAST}3333")
    await walk.listed("listed", markers(LISTED_MARK))
    await walk.listed("listed", lambda: f"{LONG}3333" * 200)
    await walk.listed("listed", lambda: {walk.make(): [walk.make()]})
    await walk.listed("listed", lambda: [[walk.make()]])
    await _push_native(walk)
    await _push_rubbish(walk)
    await _push_no_http(walk, port)


async def _push_native(walk: Walk) -> None:
    native = Marker(NATIVE_LISTED, whole=False, make=walk.make)
    items = [
        native.mark({"captured_at": (walk.now - age).isoformat(), **NATIVE})
        for age in (SOON, SOON + timedelta(seconds=1), -timedelta(hours=1), timedelta(days=400))
    ]
    items.append({**items[0], "camera_id": walk.make()})
    lines = b"\n".join(map(msgspec.json.encode, [*items, {walk.make(): walk.make()}])) + f"\n{walk.make()}".encode()
    await walk.push("native", "array", DETECTIONS_PATH, json.dumps(items).encode(), JSON)
    await walk.push("native", "lines", DETECTIONS_PATH, lines, "application/x-ndjson")


async def _push_rubbish(walk: Walk) -> None:
    """Push what is refused before, or while, it is read."""
    for path in (DETECTIONS_PATH, *WEBHOOKS):
        for content, content_type in _rubbish(walk):
            await walk.push("rubbish", content_type, path, content, content_type)
    mark = walk.make()
    for proof in (f"Bearer {mark}", f"Basic {mark}", f'Digest username="{mark}"', mark):
        await walk.send("rubbish", "key", "POST", DETECTIONS_PATH, {"Authorization": proof}, mark.encode())
    for method, path in (("POST", f"/v1/push/{mark}"), ("GET", f"/{mark}"), ("PATCH", DETECTIONS_PATH), (mark, "/")):
        await walk.send("rubbish", "route", method, path, walk.around(), mark.encode())


def _rubbish(walk: Walk) -> list[tuple[bytes, str]]:
    mark, form = walk.make().encode(), "multipart/form-data; boundary=x"
    return [
        (mark, JSON),
        (b'{"%b": NaN}' % mark, JSON),
        (b'{"%b": 1, "%b": 2}' % (mark, mark), JSON),
        (b'{"%b":' % mark * 40 + b"1" + b"}" * 40, JSON),
        (b'{"%b": "%b"}' % (mark, mark), JSON),
        (b'["%b"]' % mark, JSON),
        (mark.decode().encode("utf-16"), JSON),
        (b"<%b>" % mark, "text/xml"),
        (b'<!DOCTYPE a [<!ENTITY x "%b">]><a>&x;</a>' % mark, "text/xml"),
        (b'<?xml version="1.0" encoding="%b"?><a/>' % mark, "text/xml"),
        (b"--x\r\n%b: %b\r\n\r\n%b\r\n--x--" % (mark, mark, mark), form),
        (b"--x" + b"\r\n\r\n%b\r\n--x" % mark * 40, form),
        (mark, f"multipart/form-data; boundary={walk.make()}"),
        (mark, f"{walk.make()}/{walk.make()}"),
        (mark, f"{JSON}; charset={walk.make()}"),
    ]


async def _push_no_http(walk: Walk, port: int) -> None:
    """Send lines that are no HTTP, and headers without end."""
    mark = walk.make()
    for lines in (
        f"{mark} {mark}\r\n\r\n",
        f"GET /{mark} HTTP/1.1\r\n{mark}\r\n\r\n",
        f"GET / HTTP/1.1\r\nX: {mark * 9000}",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(lines.encode())
        writer.write_eof()
        walk.pushed.append(Pushed("rubbish", "no http", 0, await reader.read()))
        writer.close()
        await writer.wait_closed()


async def _worked_off(kafka: Kafka) -> None:
    for group in stages.SOURCES:
        await stages.until_worked_off(kafka.bootstrap, group)


async def _passes(database: Database, cameras: list[Camera]) -> set[Any]:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        ids = [one.camera_id for one in cameras]
        rows = await connection.fetch("select pass_id from reads.sighting where camera_id = any($1)", ids)
    finally:
        await connection.close()
    return {row["pass_id"] for row in rows}


async def _let_through(kafka: Kafka, database: Database, walk: Walk) -> None:
    """Push through a gateway whose parser looks at names that it must not know."""

    def leaky(payload: Any) -> tuple[Outcome, ...]:
        [read] = frigate.parse(payload)
        name = Attribute(value=payload["name"])
        assert isinstance(read, Read)
        return (msgspec.structs.replace(read, plate_raw=payload["sub_label"], model=name),)

    name = "frigate/lpr.json"
    content, _ = marked(name, walk.body(name, SOON), Marker(LISTED["frigate"], whole=False, make=markers(LEAKED)))
    one, key = walk.cameras["leaky"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table.PARSERS, "frigate", leaky)
        async with serving(build(Settings(kafka_bootstrap=kafka.bootstrap))) as client:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": JSON}
            answer = await client.post(samples.path_of(name), content=content, headers=headers)
    assert answer.status_code == 202, answer.text

    async def indexed() -> bool:
        return bool(await _passes(database, [one]))

    await until_async(indexed, "the leaked read is in the index")


def test_no_marker_of_anything_unlisted_is_anywhere(left: Left) -> None:
    assert left.found[UNLISTED] == set()


def test_a_read_past_its_retention_is_nowhere(left: Left) -> None:
    assert left.found[PAST] == set()
    assert {one.status for one in left.pushed("past") if one.name in PLATES} <= {200, 202}
    assert not left.detections("past")
    assert not left.letters("past")
    assert left.passes["past"] == set()


def test_a_read_to_match_and_discard_is_in_its_topic_alone(left: Left) -> None:
    places = {found.place for found in left.found[EPHEMERAL]}
    assert places == {"topic ephemeral", "kafka's data"}
    assert not left.detections("ephemeral")
    assert not left.letters("ephemeral")
    assert left.passes["ephemeral"] == set()


@pytest.mark.parametrize("way", ["leaves", "wholes"])
def test_every_read_went_all_the_way(left: Left, way: str) -> None:
    """Otherwise it would be no wonder that nothing is found."""
    found = left.detections(way)
    assert len(found) == READS
    assert left.passes[way] == {one.event_id for one in found}
    for push in left.pushed(way):
        expected = 422 if push.name in FAULTY else table.ANSWERS[push.name.partition("/")[0]].status
        assert push.status == expected, push.name


def test_every_sample_became_the_sightings_of_the_table(left: Left) -> None:
    """Through the real processes, with markers all around it."""
    made = {one.pass_id: one for one in left.sightings("leaves")}
    found = left.detections("leaves")
    for name, seen_there in SEEN.items():
        own, _ = left.walk.cameras[f"leaves {name}"]
        of_sample = [one for one in found if one.camera_id == own.camera_id]
        for detection, seen, read in zip(of_sample, seen_there, reads(name), strict=True):
            sighting = made[detection.event_id]
            assert fields(sighting) == fields(stated(seen, read, sighting, own)), name
            assert sighting.captured_at == detection.claimed_at
            assert 0 < sighting.skew_s < 600


@pytest.mark.parametrize(
    ("way", "reason"), [("future", "clock_future"), ("retired", "retired_camera"), ("poisoned", "poisoned")]
)
def test_every_read_that_is_set_aside_is_a_dead_letter(left: Left, way: str, reason: str) -> None:
    letters = left.letters(way)
    assert Counter(one.reason for one in letters) == {reason: READS}
    assert all(one.detection is not None and one.size_bytes is None for one in letters)
    assert left.passes[way] == set()


def test_native_items_went_all_ways(left: Left) -> None:
    assert [one.status for one in left.pushed("native")] == [202, 202]
    assert left.passes["native"]  # two reads of one plate within a second: one pass
    assert len(left.letters("native")) == 2


def test_rubbish_is_refused_and_leaves_nothing(left: Left) -> None:
    rubbish = left.pushed("rubbish")
    assert len(rubbish) > 100
    assert {one.status for one in rubbish if one.name != "no http"} == {400, 401, 404, 405, 415, 422}
    assert not left.detections("rubbish")
    assert not left.letters("rubbish")


def test_listed_fields_are_found_where_they_belong_and_nowhere_else(left: Left) -> None:
    """The search is not blind; and no plate is in a log, a metric or an answer."""
    places = {found.place for found in left.found[LISTED_MARK]}
    tables = {place for place in places if place.startswith("table ")}
    assert places - tables - {"topic dead-letters"} == {
        "topic detections",
        "topic sightings",
        "kafka's data",
        "postgres' data",
        "postgres' wal",
    }
    assert {place.rpartition("_")[0] for place in tables} == {"table reads.sighting"}
    assert len({found.marker for found in left.found[LISTED_MARK] if found.place == "topic detections"}) > 30


def test_a_listed_field_that_is_too_long_is_left_out(left: Left) -> None:
    assert left.found[LONG] == set()
    assert len(left.detections("listed")) > 200
    assert max(len(wire.encode(one)) for one in left.detections("listed")) < 4096


def test_what_was_searched_is_all_there_is(left: Left) -> None:
    assert {place for place, _ in left.records} >= TOPICS
    assert {"table audit.head", "table pg_authid", "table registry.camera_health"} <= left.tables.keys()
    workers = {"enricher", "indexer", "matcher", "counting", "health"}
    assert {log.stem for log in left.walk.logs} == {"gateway", "poisoning"} | workers
    assert all(log.stat().st_size for log in left.walk.logs)
    assert {"process detections", "process sightings", "POST /v1/detections"} <= set(left.spans)
    shown = {one.name: one.answer for one in left.pushed("metrics")}
    assert shown.keys() == {"gateway"} | workers
    assert b'status="accepted"' in shown["gateway"]
    assert all(b'outcome="written"' in shown[name] for name in ("enricher", "indexer", "health"))
    assert b'outcome="discarded"' in shown["matcher"]
    assert {one.status for one in left.pushed("ready")} == {200}


def test_a_parser_that_lets_a_field_through_would_be_found_out(left: Left) -> None:
    places = {found.place for found in left.found[LEAKED]}
    assert places >= {"topic detections", "topic sightings", "kafka's data", "postgres' wal"}
    assert any(place.startswith("table reads.sighting") for place in places)


def test_a_marker_is_found_in_a_log_an_answer_and_in_hex(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_bytes(b'{"event": "failed", "text": "xkwtvn33"}\n')
    assert everywhere.in_file("log", log, UNLISTED) == [Found("log", "XKWTVN33")]
    assert list(everywhere.in_bytes("answer", b"no XKWTVN34 here", UNLISTED)) == [Found("answer", "XKWTVN34")]
    assert everywhere.in_file("log", tmp_path / "none.log", UNLISTED) == []
