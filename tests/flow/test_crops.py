"""The picture of the plate alone, from a push to the index and to its end; and no other picture anywhere."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from ingest.adapters.registry import KafkaRegistry
from ingest.pictures import cleaned
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from search.audit import keys
from services import enricher, indexer, maintain
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support import samples, stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.http import serving
from tests.support.pictures import NAMED, PLATE, base64_of, png, sized, with_segment
from tests.support.topics import Tail, make_topics, tail, write

SCENE = b"the whole scene, with " + NAMED
NOW = datetime.now(UTC).replace(microsecond=0)


class Flow(NamedTuple):
    """A gateway with a folder for pictures, as one camera sees it."""

    client: httpx.AsyncClient
    camera: Camera
    folder: Path
    detections: Tail
    letters: Tail

    async def push(self, path: str, body: bytes, content_type: str = "application/json") -> httpx.Response:
        return await self.client.post(path, content=body, headers={"Content-Type": content_type})

    async def stored(self) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in await self.detections.records()]

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def pictures(self) -> dict[str, bytes]:
        """Return name -> content of each file in the folder."""
        return {path.name: path.read_bytes() for path in self.files()}

    async def fates(self) -> dict[str, float]:
        lines = (await self.client.get("/metrics")).text.splitlines()
        named = [line for line in lines if line.startswith("platetrail_gateway_pictures_total{")]
        return {line.split('"')[1]: float(line.split()[-1]) for line in named}


@pytest_asyncio.fixture
async def flow(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Flow]:
    await make_topics(kafka.bootstrap)
    one, key = camera()
    await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    (tmp_path / "crops").mkdir()
    async with AsyncExitStack() as stack:
        detections = await stack.enter_async_context(tail(kafka.bootstrap, topics.DETECTIONS))
        letters = await stack.enter_async_context(tail(kafka.bootstrap, topics.DEAD_LETTERS))
        app = build(Settings(kafka_bootstrap=kafka.bootstrap, crops_folder=tmp_path / "crops"))
        client = await stack.enter_async_context(serving(app))
        client.headers["Authorization"] = f"Bearer {key}"
        yield Flow(client, one, tmp_path / "crops", detections, letters)


def read(**changes: Any) -> bytes:
    at = (NOW - timedelta(seconds=5)).isoformat()
    return json.dumps({"captured_at": at, "plate": "CRP0042", "crop": base64_of(PLATE), **changes}).encode()


def _five_minutes_ago(name: str, claimed: str) -> bytes:
    return samples.moved(name, NOW - timedelta(minutes=5) - datetime.fromisoformat(claimed))


def _with_pictures(body: bytes, plate: bytes) -> bytes:
    """Return an agent's message with a picture of the plate, and of everything else where such pictures go."""
    text = body.replace(b'"plate_crop_jpeg": "<JPEG>"', f'"plate_crop_jpeg": "{base64_of(plate)}"'.encode())
    assert text != body
    return text.replace(b"<JPEG>", base64_of(SCENE).encode())


async def test_each_format_that_sends_a_plates_picture(flow: Flow) -> None:
    """A picture of a size of its own tells them apart."""
    group = _with_pictures(_five_minutes_ago("openalpr/alpr_group.json", "2021-10-17T13:05:47Z"), sized(61, 20))
    alert = _with_pictures(_five_minutes_ago("openalpr/alpr_alert.json", "2021-09-03T19:06:29Z"), sized(62, 20))
    form = samples.body("hikvision/anpr.multipart")
    [claimed] = {one.partition(b"</dateTime>")[0] for one in form.split(b"<dateTime>")[1:]}
    form = _five_minutes_ago("hikvision/anpr.multipart", claimed.decode())
    head, _, rest = form.partition(b'filename="licensePlatePicture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n')
    _, _, after = rest.partition(b"\r\n--boundary")
    head += b'filename="licensePlatePicture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    form = head + sized(63, 20) + b"\r\n--boundary" + after.replace(b"<JPEG>", SCENE)
    assert SCENE in form
    answers = [
        await flow.push("/v1/webhooks/openalpr", group),
        await flow.push("/v1/webhooks/openalpr", alert),
        await flow.push("/v1/webhooks/hikvision", form, samples.content_type("hikvision/anpr.multipart")),
        await flow.push("/v1/detections", read(crop=base64_of(png(64, 20)))),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 200, 202]
    kept = [flow.pictures()[one.crop.sha256] for one in await flow.stored() if one.crop is not None]
    assert kept == [*(cleaned(sized(width, 20)) for width in (61, 62, 63)), cleaned(png(64, 20))]
    assert len(flow.pictures()) == 4
    assert await flow.fates() == {"kept": 4}


async def test_no_other_picture_is_anywhere(flow: Flow, capfd: pytest.CaptureFixture[str]) -> None:
    """Every sample that has pictures, with scenes in all of them; pictures that are good are no plates' here."""
    scene, answers = with_segment(0xFE, SCENE), []
    for name in samples.NAMES:
        body = samples.body(name)
        if b"<JPEG>" not in body:
            continue
        binary = name.endswith(".multipart")
        body = samples.moved(name, timedelta())
        if not binary:
            body = body.replace(b'"plate_crop_jpeg": "<JPEG>"', b'"plate_crop_jpeg": null')
        body = body.replace(b"licensePlatePicture.jpg", b"anotherPicture.jpg")
        body = body.replace(b"<JPEG>", scene if binary else base64_of(scene).encode())
        path = {"dahua_itsapi": "dahua/NotificationInfo/TollgateInfo"}.get(
            name.partition("/")[0], name.partition("/")[0]
        )
        answers.append(await flow.push(f"/v1/webhooks/{path}", body, samples.content_type(name)))
    assert len(answers) >= 7
    hidden = base64_of(with_segment(0xE1, b"Exif\0\0" + SCENE) + SCENE)
    answers.append(await flow.push("/v1/detections", read(crop=hidden)))
    records = [*await flow.detections.records(), *await flow.letters.records()]
    places = [value for _, value in records] + [answer.content for answer in answers]
    places += [*flow.pictures().values(), "".join(capfd.readouterr()).encode()]
    assert list(flow.pictures().values()) == [cleaned(PLATE)]
    for place in places:
        for what in (SCENE, NAMED, base64_of(SCENE)[4:40].encode()):
            assert what not in place


async def test_hostile_pictures_cost_nothing_but_themselves(flow: Flow) -> None:
    bomb = png(pixels=bytes(30_000_000))
    hostile = [base64_of(bomb), base64_of(sized(65535, 65535)), "A" * 300_000, "not base64 !", base64_of(PLATE[:50])]
    body = b"[" + b",".join(read(key=str(number), crop=crop) for number, crop in enumerate(hostile)) + b"]"
    answer = await flow.push("/v1/detections", body)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 5)
    assert [one.crop for one in await flow.stored()] == [None] * 5
    assert flow.pictures() == {}
    assert sum((await flow.fates()).values()) == 5
    wrong = await flow.push("/v1/detections", read(crop=7))
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/crop")


async def test_sent_again_it_is_the_same_picture(flow: Flow) -> None:
    for _ in range(3):
        await flow.push("/v1/detections", read())
    first, *others = await flow.stored()
    assert [one.crop for one in others] == [first.crop] * 2
    assert first.crop is not None
    assert flow.pictures() == {first.crop.sha256: cleaned(PLATE)}


async def test_from_the_push_to_the_index_and_to_the_end_of_its_time(
    flow: Flow, kafka: Kafka, database: Database, tmp_path: Path
) -> None:
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    await flow.push("/v1/detections", b"[" + read(key="a") + b"," + read(key="b", plate="WTX9977", crop=None) + b"]")
    settings = stages.settings(kafka.bootstrap, database)
    async with KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry:
        async with stages.running(enricher.build(settings, registry)):
            await stages.until_worked_off(kafka.bootstrap, "platetrail-enricher")
        async with stages.running(indexer.build(settings)):
            await stages.until_worked_off(kafka.bootstrap, "platetrail-indexer")
    rows = await stages.rows_of(database, flow.camera.camera_id)
    [name] = flow.pictures()
    assert {row["crop"] for row in rows} == {None, bytes.fromhex(name)}

    keys.make_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    (tmp_path / "owners.json").write_text(json.dumps({"owners": {"north": {"days": 3}, "long-so": {"days": 40}}}))
    once = maintain.build(
        Settings(
            database_url=database.url("platetrail_maintain"),
            owners_file=tmp_path / "owners.json",
            audit_public_key_file=tmp_path / "public.pem",
            crops_folder=flow.folder,
        )
    )
    await once()
    assert list(flow.pictures()) == [name], "its read is kept for three days"
    [old] = flow.files()
    past = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    os.utime(old, (past, past))
    await once()
    assert flow.pictures() == {}
