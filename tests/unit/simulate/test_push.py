"""Pushing as cameras do: own key, batches in order, everything again after 503."""

import uuid
from collections import Counter
from typing import Any

import httpx
import msgspec
import pytest

from services.simulate import run
from services.simulate.misreads import Read
from services.simulate.push import GaveUp, Progress, Pusher, Refused, Unanswered
from services.simulate.truth import Truth, read_truth
from services.simulate.world import World

URL = "http://gateway.invalid"


class Gateway(httpx.AsyncBaseTransport):
    """A gateway that keeps what it is sent; `trouble` holds responses (or errors) that come first."""

    def __init__(self, keys: dict[str, str], trouble: tuple[httpx.Response | Exception, ...] = ()) -> None:
        self._camera_of = {f"Bearer {key}": camera_id for camera_id, key in keys.items()}
        self._trouble = list(trouble)
        self.bodies: list[bytes] = []
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.leave_out = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/v1/detections")
        self.bodies.append(await request.aread())
        if self._trouble:
            trouble = self._trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        camera_id = self._camera_of.get(request.headers["Authorization"])
        if camera_id is None:
            return httpx.Response(401)
        batch = msgspec.json.decode(self.bodies[-1])
        self.items.setdefault(camera_id, []).extend(batch)
        items = [
            {"index": index, "status": "accepted", "event_id": str(_id(camera_id, item))}
            for index, item in enumerate(batch)
        ]
        items = items[1:] if self.leave_out else items
        return httpx.Response(202, json={"accepted": len(items), "items": items})


@pytest.fixture
def keys(a_world: World) -> dict[str, str]:
    return {camera.camera_id: f"key of {camera.camera_id}" for camera in a_world.cameras}


async def test_every_read_arrives_under_its_camera_once(a_truth: Truth, keys: dict[str, str], tmp_path: Any) -> None:
    gateway = Gateway(keys)
    seen: list[Progress] = []
    path = tmp_path / "truth.jsonl"
    pushed = await run(a_truth, URL, keys, progress=seen.append, truth_file=path, transport=gateway)
    assert {camera: len(items) for camera, items in gateway.items.items()} == Counter(
        read.camera_id for read in a_truth.reads
    )
    for read in pushed.reads:
        assert read.status == "accepted"
        assert read.event_id == _id(read.camera_id, msgspec.to_builtins(read.detection))
    assert seen[-1] == Progress(done=len(a_truth.reads), total=len(a_truth.reads), again=0)
    assert read_truth(path) == pushed


async def test_a_camera_sends_in_order_and_in_batches(a_truth: Truth, keys: dict[str, str]) -> None:
    reads = _of_one_camera(a_truth)
    gateway = Gateway(keys)
    await _push(gateway, keys, reads, batch=7)
    assert [len(msgspec.json.decode(body)) for body in gateway.bodies[:-1]] == [7] * (len(reads) // 7)
    times = [item["captured_at"] for item in gateway.items[reads[0].camera_id]]
    assert times == [msgspec.to_builtins(read.detection)["captured_at"] for read in reads]


async def test_what_is_sent_is_the_native_form(a_truth: Truth, keys: dict[str, str]) -> None:
    gateway = Gateway(keys)
    await _push(gateway, keys, a_truth.reads[:300])
    items = [item for batch in gateway.items.values() for item in batch]
    allowed = {
        "captured_at", "plate", "plate_confidence", "candidates", "region", "region_confidence", "make", "model",
        "colour", "body", "lane", "heading_deg", "position", "key",
    }  # fmt: skip
    assert {field for item in items for field in item} == allowed
    assert all("plate" in item for item in items)


@pytest.mark.parametrize(
    "trouble",
    [httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(429, headers={"Retry-After": "0"})],
)
async def test_told_to_come_again_it_sends_all_of_the_batch(
    a_truth: Truth, keys: dict[str, str], trouble: httpx.Response
) -> None:
    gateway = Gateway(keys, (trouble,))
    seen: list[Progress] = []
    reads = _of_one_camera(a_truth)[:20]
    answers = await _push(gateway, keys, reads, progress=seen.append)
    assert len(gateway.bodies) == 2
    assert gateway.bodies[0] == gateway.bodies[1]
    assert len(answers) == len(reads)
    assert seen[-1].again == 1


async def test_a_broken_connection_is_tried_again(a_truth: Truth, keys: dict[str, str]) -> None:
    gateway = Gateway(keys, (httpx.ReadError("gone"),))
    answers = await _push(gateway, keys, a_truth.reads[:1])
    assert len(gateway.bodies) == 2
    assert answers.keys() == {a_truth.reads[0].number}


async def test_it_gives_up_at_last(a_truth: Truth, keys: dict[str, str]) -> None:
    trouble = tuple(httpx.Response(503, headers={"Retry-After": "10"}) for _ in range(2))
    with pytest.raises(GaveUp):
        await _push(Gateway(keys, trouble), keys, a_truth.reads[:1], patience_s=5.0)


async def test_a_wrong_key_is_refused_and_the_error_holds_no_key(a_truth: Truth, keys: dict[str, str]) -> None:
    wrong = dict.fromkeys(keys, "not a key")
    with pytest.raises(Refused) as refused:
        await _push(Gateway(keys), wrong, a_truth.reads[:1])
    assert refused.value.status == 401
    assert "not a key" not in str(refused.value)


async def test_a_camera_without_key_pushes_nothing(a_truth: Truth, keys: dict[str, str]) -> None:
    gateway = Gateway(keys)
    del keys[a_truth.reads[-1].camera_id]
    with pytest.raises(KeyError):
        await _push(gateway, keys, a_truth.reads)
    assert not gateway.bodies


async def test_an_answer_that_leaves_an_item_out_is_not_believed(a_truth: Truth, keys: dict[str, str]) -> None:
    gateway = Gateway(keys)
    gateway.leave_out = True
    with pytest.raises(Unanswered):
        await _push(gateway, keys, _of_one_camera(a_truth)[:5])


async def _push(gateway: Gateway, keys: dict[str, str], reads: Any, **options: Any) -> dict[int, Any]:
    async with httpx.AsyncClient(base_url=URL, transport=gateway) as client:
        return await Pusher(client, keys, **options).push(reads)


def _of_one_camera(truth: Truth) -> list[Read]:
    busiest = Counter(read.camera_id for read in truth.reads).most_common(1)[0][0]
    return [read for read in truth.reads if read.camera_id == busiest]


def _id(camera_id: str, item: dict[str, Any]) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{camera_id} {item['captured_at']} {item['plate']}")
