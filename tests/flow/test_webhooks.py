"""Every sample of every vendor over HTTP into Apache Kafka, its times moved to five minutes ago."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI

from ingest.formats import table
from ingest.formats.read import Read, Rejected
from ingest.gateway import WEBHOOKS
from schemas import topics, wire
from schemas.detections import Detection
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support import samples
from tests.support.cameras import camera
from tests.support.http import serving
from tests.support.topics import make_topics, tail, write
from tests.unit.ingest.formats.expected import EXPECTED

NOT_THE_SAME = {"claimed_at", "camera_id"}
COMMON = [name for name in Read.__struct_fields__ if name in Detection.__struct_fields__ and name not in NOT_THE_SAME]
NOT_KEPT = re.compile(
    rb"somebody|neighbour|officer|JPEG|signature|MainSeat|belt|smok|uphone|rider|driver|face|hair|blockList|otherList"
    rb"|blacklist|a driver's name|DriverCalling|\xff\xd8",
    re.IGNORECASE,
)


@pytest.fixture
def app(kafka: Kafka) -> FastAPI:
    return build(Settings(kafka_bootstrap=kafka.bootstrap))


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value


async def test_every_sample_is_what_the_table_states_and_nothing_else_is_in_the_topics(
    kafka: Kafka, app: FastAPI, capfd: pytest.CaptureFixture[str]
) -> None:
    await make_topics(kafka.bootstrap)
    one, key = camera()
    await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    expected = []
    answers = []
    async with (
        tail(kafka.bootstrap, topics.DETECTIONS) as detections,
        tail(kafka.bootstrap, topics.DEAD_LETTERS) as letters,
        serving(app) as client,
    ):
        for name, outcomes in EXPECTED.items():
            format_ = name.partition("/")[0]
            reads = [outcome for outcome in outcomes if isinstance(outcome, Read)]
            now = datetime.now(UTC).replace(microsecond=0)
            by = now - timedelta(minutes=5) - (reads[0].claimed_at if reads else now).replace(microsecond=0)
            response = await client.post(
                next(path for path, of in WEBHOOKS.items() if of == format_),
                content=samples.moved(name, by),
                headers={"Authorization": f"Bearer {key}", "Content-Type": samples.content_type(name)},
            )
            faulty = any(isinstance(outcome, Rejected) and outcome.reason == "time" for outcome in outcomes)
            assert response.status_code == (422 if faulty else table.ANSWERS[format_].status), name
            answers.append(response.content)
            expected += [(format_, read, read.claimed_at + by) for read in reads]
        records = await detections.records()
        assert await letters.records() == []
        answers.append((await client.get("/metrics")).content)
    stored = [wire.decode(value, Detection) for _, value in records]
    assert [(one.format, one.claimed_at, one.captured_at) for one in stored] == [
        (format_, at, at) for format_, _, at in expected
    ]
    for detection, (_, read, _) in zip(stored, expected, strict=True):
        kept, stated = msgspec.to_builtins(detection), msgspec.to_builtins(read)
        assert plain([kept[name] for name in COMMON]) == plain([stated[name] for name in COMMON])
    for place in (*(key + value for key, value in records), *answers, "".join(capfd.readouterr()).encode()):
        assert NOT_KEPT.search(place) is None
