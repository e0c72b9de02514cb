"""Processes whose own clock is wrong say so, by the broker's: on Apache Kafka."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import httpx
import pytest

from tests.support import stages
from tests.support.cameras import camera
from tests.support.flow import ENRICHER, INDEXER, Flow, lately
from tests.support.wait import until, until_async

HOUR_S = 3600


@pytest.mark.parametrize("hours", [24, -1, 0])
@pytest.mark.parametrize("name", ["enricher", "indexer"])
async def test_a_worker_whose_clock_is_wrong_says_so(flow: Flow, tmp_path: Path, name: str, hours: int) -> None:
    worker = wrong(name, flow, tmp_path, hours)
    group = ENRICHER if name == "enricher" else INDEXER
    numbers = iter(range(1000))

    async def put_one() -> None:
        number = next(numbers)
        if name == "enricher":
            await stages.put_detections(flow.publisher, [flow.detection(number)])
        else:
            await stages.put_sightings(flow.publisher, [flow.sighting(number)])
        await stages.until_worked_off(flow.kafka.bootstrap, group)

    try:
        await asyncio.to_thread(worker.wait_until_ready)
        if hours:

            async def says_so() -> bool:
                await asyncio.sleep(1)  # it finds nothing to read meanwhile: what comes then is new
                await put_one()
                return bool(worker.said("clock_differs"))

            await until_async(says_so, "it says that its clock is wrong")
        else:
            for _ in range(5):
                await put_one()
    finally:
        worker.stop()
    assert {round(line["ahead_of_the_broker_s"] / HOUR_S) for line in worker.said("clock_differs")} == {hours} - {0}


async def test_an_indexer_that_is_never_idle_says_so(flow: Flow, tmp_path: Path) -> None:
    """It publishes nothing whose acknowledgement would tell it the time, and there is always something to read."""
    numbers, stop = itertools.count(), asyncio.Event()

    async def keep_busy() -> None:
        while not stop.is_set():
            await stages.put_sightings(flow.publisher, [flow.sighting(next(numbers))])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.05)

    await stages.put_sightings(flow.publisher, [flow.sighting(next(numbers)) for _ in range(50)])
    worker = wrong("indexer", flow, tmp_path, 24)
    busy = asyncio.create_task(keep_busy())
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        await asyncio.to_thread(until, lambda: bool(worker.said("clock_differs")), "it says that its clock is wrong")
    finally:
        stop.set()
        await busy
        worker.stop()
    assert {round(line["ahead_of_the_broker_s"] / HOUR_S) for line in worker.said("clock_differs")} == {24}


@pytest.mark.parametrize("hours", [24, -1])
async def test_a_gateway_whose_clock_is_wrong_says_so(flow: Flow, tmp_path: Path, hours: int) -> None:
    own, key = camera()
    await stages.put_cameras(flow.publisher, own)
    gateway = wrong("gateway", flow, tmp_path, hours)
    try:
        await asyncio.to_thread(gateway.wait_until_ready)
        url = f"http://127.0.0.1:{gateway.said('ready')[0]['port']}/v1/detections"
        body = {"event_id": "1", "captured_at": lately(0)["captured_at"].isoformat(), "plate": "XQ7O41"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(url, json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 202
        await asyncio.to_thread(until, lambda: bool(gateway.said("clock_differs")), "it says that its clock is wrong")
    finally:
        gateway.stop()
    assert round(gateway.said("clock_differs")[0]["ahead_of_the_broker_s"] / HOUR_S) == hours


def wrong(name: str, flow: Flow, folder: Path, hours: int) -> stages.Worker:
    shift = folder / "shift"
    shift.write_text(str(hours * HOUR_S))
    return stages.Worker(name, flow.settings, folder, module=f"tests.support.jumping {shift} services.{name}")
