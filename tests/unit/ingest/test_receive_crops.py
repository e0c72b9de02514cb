"""Pictures of plates on their way through the receiver: stored before their reads are published."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.adapters.memory import InMemory, MemoryCrops, MemoryPublisher
from ingest.envelopes import Messages
from ingest.errors import PublishError, Unavailable
from ingest.pictures import cleaned
from ingest.ports import Removed
from ingest.receive import Item, Receiver
from schemas import topics, wire
from schemas.detections import Detection
from schemas.owners import OwnerRules
from tests.support import samples
from tests.support.cameras import camera
from tests.support.pictures import PLATE, base64_of, sized

NOW = datetime.now(UTC)


def read(**changes: Any) -> dict[str, Any]:
    at = (NOW - timedelta(seconds=5)).isoformat()
    return {"captured_at": at, "plate": "CRP0042", "crop": base64_of(PLATE), **changes}


class Rig:
    """A receiver with everything in memory."""

    def __init__(self, *, folder: bool = True) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InMemory)
            self.publisher, self.crops = MemoryPublisher(), MemoryCrops()
        self.fates: list[str] = []
        self.receiver = Receiver(
            self.publisher,
            OwnerRules(),
            future_limit_s=300,
            crops=self.crops if folder else None,
            count_picture=self.fates.append,
        )

    async def push(
        self, *payloads: Any, format_: str = "native", picture: bytes | None = None, **of: Any
    ) -> list[Item]:
        messages = Messages(payloads)
        messages.picture = picture
        prepared = self.receiver.prepare(format_, camera("cam-1", **of)[0], messages, NOW)
        return await self.receiver.publish(prepared)

    def stored(self, topic: str = topics.DETECTIONS) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in self.publisher.records.get(topic, [])]

    async def kept(self) -> int:
        """Return how many pictures are there for good."""
        removed = await self.crops.remove_expired(NOW + timedelta(days=60), lambda _: 30)
        return removed.expired


async def test_a_detection_names_its_picture_and_the_picture_is_kept() -> None:
    rig = Rig()
    await rig.push(read(), read(plate="CRP0043", crop=None))
    first, second = rig.stored()
    assert first.crop is not None
    assert second.crop is None
    assert await rig.crops.get("north", first.crop.sha256) == cleaned(PLATE)
    assert rig.fates == ["kept"]
    assert await rig.crops.remove_expired(NOW + timedelta(hours=2), lambda _: 30) == Removed()


@pytest.mark.parametrize(
    ("crop", "fate"),
    [
        ("<JPEG>", "not_a_picture"),
        (base64_of(sized(1920, 1080)), "dimensions"),
        (base64_of(PLATE[:-9]), "damaged"),
        (base64_of(PLATE + bytes(100_000)), "too_large"),
        (base64_of(PLATE * 5000), "too_large"),
    ],
)
async def test_a_picture_that_is_no_crop_is_left_out_and_its_read_is_taken(crop: str, fate: str) -> None:
    rig = Rig()
    [item] = await rig.push(read(crop=crop))
    assert (item.status, rig.fates) == ("accepted", [fate])
    assert [one.crop for one in rig.stored()] == [None]
    assert await rig.kept() == 0


async def test_a_picture_may_come_with_line_breaks_or_as_a_data_url() -> None:
    for crop in (base64_of(PLATE)[:60] + "\r\n" + base64_of(PLATE)[60:], "data:image/jpeg;base64," + base64_of(PLATE)):
        rig = Rig()
        await rig.push(read(crop=crop))
        assert rig.fates == ["kept"]


async def test_without_a_folder_there_are_reads_and_no_pictures() -> None:
    rig = Rig(folder=False)
    await rig.push(read())
    assert ([one.crop for one in rig.stored()], rig.fates) == ([None], ["no_folder"])


@pytest.mark.parametrize(
    ("changes", "of"),
    [
        ({}, {"handling": "ephemeral"}),
        ({"plate": None}, {}),
        ({"captured_at": (NOW + timedelta(hours=1)).isoformat()}, {}),
        ({"captured_at": (NOW - timedelta(days=31)).isoformat()}, {}),
    ],
)
async def test_what_is_not_kept_as_a_read_of_a_plate_has_no_picture(
    changes: dict[str, Any], of: dict[str, Any]
) -> None:
    rig = Rig()
    await rig.push(read(**changes), **of)
    assert [one.crop for topic in (topics.DETECTIONS, topics.EPHEMERAL) for one in rig.stored(topic)] in ([None], [])
    assert all(b"sha256" not in value for some in rig.publisher.records.values() for _, value in some)
    assert (rig.fates, await rig.kept()) == (["no_read"], 0)


async def test_a_picture_whose_read_is_not_taken_goes_after_an_hour() -> None:
    rig = Rig()
    rig.publisher.available = False
    with pytest.raises(Unavailable):
        await rig.push(read())
    assert rig.fates == []
    assert await rig.crops.remove_expired(datetime.now(UTC) + timedelta(hours=2), lambda _: 30) == Removed(
        unconfirmed=1
    )


async def test_sent_again_it_is_kept_after_all() -> None:
    rig = Rig()
    rig.publisher.available = False
    with pytest.raises(Unavailable):
        await rig.push(read())
    rig.publisher.available = True
    for _ in range(2):
        await rig.push(read())
    assert rig.fates == ["kept", "kept"]
    assert len({one.crop.sha256 for one in rig.stored() if one.crop}) == 1
    assert await rig.kept() == 1


async def test_of_a_batch_the_pictures_of_those_that_were_taken_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()

    async def refuse_the_second(_: str, items: Sequence[object]) -> list[PublishError | None]:
        return [PublishError("too large") if at == 1 else None for at in range(len(items))]

    monkeypatch.setattr(rig.publisher, "publish", refuse_the_second)
    other = base64_of(sized(65, 20))
    items = await rig.push(read(key="a", crop=None), read(key="b"), read(key="c", crop=other))
    assert [item.status for item in items] == ["accepted", "rejected", "accepted"]
    assert rig.fates == ["kept"]
    later = datetime.now(UTC) + timedelta(hours=2)
    assert await rig.crops.remove_expired(later, lambda _: 30) == Removed(unconfirmed=1)
    assert await rig.kept() == 1


async def test_a_full_disk_costs_pictures_and_no_reads() -> None:
    rig = Rig()
    rig.crops.available = False
    items = await rig.push(read(key="a", crop=None), read(key="b"))
    assert [item.status for item in items] == ["accepted", "accepted"]
    assert [one.crop for one in rig.stored()] == [None, None]
    assert rig.fates == ["unavailable"]


async def test_the_picture_beside_a_hikvision_message_is_its_plate() -> None:
    name = "hikvision/anpr.multipart"
    claimed = NOW.replace(microsecond=0) - timedelta(minutes=5)
    [message] = [samples.payload(name)]
    message["EventNotificationAlert"]["dateTime"] = claimed.isoformat()
    rig = Rig()
    await rig.push(message, format_="hikvision", picture=PLATE)
    [one] = rig.stored()
    assert one.crop is not None
    assert await rig.crops.get("north", one.crop.sha256) == cleaned(PLATE)
    await rig.push(read(crop=None), format_="openalpr", picture=PLATE)
    assert rig.stored()[-1].crop is None, "no other format sends one beside its message"


async def test_what_waits_for_the_broker_counts_its_pictures() -> None:
    rig = Rig()
    prepared = rig.receiver.prepare("native", camera("cam-1")[0], [read()], NOW)
    [(_, value)] = prepared.detections
    assert prepared.size_bytes() == len(value) + len(PLATE)
