"""One behaviour suite for the camera registry, run on the fake in memory and on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.cameras import Camera
from schemas.entries import Entry, disclose
from search.adapters.memory import MemoryCameras
from search.adapters.registry import PostgresCameras
from search.audit.adapters.memory import MemoryLog
from search.audit.secrets import Sealer
from search.cameras import retired
from search.errors import Conflict
from search.ports import Cameras
from tests.support.database import Database

AT = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)


def camera(camera_id: str, owner: str = "north", **changes: Any) -> Camera:
    """Return a camera."""
    fields: dict[str, Any] = {
        "camera_id": camera_id,
        "owner": owner,
        "name": "Bridge, north end",
        "latitude": 38.25,
        "longitude": -90.5,
        "timezone": "America/Chicago",
        "key_prefix": camera_id,
        "key_sha256": "ab" * 32,
        "registered_at": AT,
    }
    return Camera(**(fields | changes))


def entry(action: str = "add") -> Entry:
    """Return an entry of a change."""
    return Entry(kind="camera", public={"action": action, "agency": "north"}, disclosures=(disclose("person", "jo"),))


@pytest.fixture(params=["memory", "postgres"])
async def cameras(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Cameras]:
    """The registry, empty but for what other tests of this module registered."""
    if request.param == "memory":
        yield MemoryCameras(MemoryLog())
        return
    registry = PostgresCameras(database.url("platetrail_search"), Sealer(X25519PrivateKey.generate().public_key()))
    yield registry
    await registry.stop()


async def test_a_camera_comes_back_as_it_was_added(cameras: Cameras) -> None:
    plain = camera("plain")
    full = camera("full", heading_deg=12.5, clock_use="offset", clock_offset_s=-3.25, clock_uncertainty_s=0.1)
    one, other = await cameras.add(plain, entry()), await cameras.add(full, entry())
    assert other.index == one.index + 1
    assert other.size == other.index + 1
    assert (await cameras.find("plain", "north"), await cameras.find("full", "north")) == (plain, full)


async def test_an_id_is_given_once_whoever_asks(cameras: Cameras) -> None:
    first = camera("once")
    appended = await cameras.add(first, entry())
    for owner in ("north", "south"):
        with pytest.raises(Conflict):
            await cameras.add(camera("once", owner, key_prefix="another"), entry())
    assert await cameras.find("once", "north") == first
    assert (await cameras.add(camera("next-one"), entry())).index == appended.index + 1


async def test_an_owner_sees_its_own_in_order(cameras: Cameras) -> None:
    for name in ("list-b", "list-a"):
        await cameras.add(camera(name, "west"), entry())
    await cameras.add(camera("list-c", "east"), entry())
    assert [item.camera_id for item in await cameras.of_owner("west")] == ["list-a", "list-b"]
    assert await cameras.of_owner("nobody") == []
    assert await cameras.find("list-c", "west") is None
    assert await cameras.find("unknown", "west") is None


async def test_the_next_revision_replaces_the_one_before(cameras: Cameras) -> None:
    before = camera("replaced")
    await cameras.add(before, entry())
    after = retired(before)
    await cameras.replace(after, entry("retire"))
    assert await cameras.find("replaced", "north") == after


@pytest.mark.parametrize("changes", [{"revision": 2}, {"revision": 0}, {"owner": "south"}])
async def test_a_change_of_something_else_than_it_saw_is_refused(cameras: Cameras, changes: dict[str, Any]) -> None:
    name = "stale-" + "-".join(map(str, changes.values()))
    before = camera(name)
    await cameras.add(before, entry())
    with pytest.raises(Conflict):
        await cameras.replace(msgspec.structs.replace(retired(before), **changes), entry("retire"))
    assert await cameras.find(name, "north") == before


def certified(camera_id: str, digit: str, **changes: Any) -> Camera:
    """Return a camera that proves itself by a certificate."""
    return camera(camera_id, proof="certificate", certificate_sha256=digit * 64, **changes)


async def test_many_are_registered_at_once_with_an_entry_each(cameras: Cameras) -> None:
    many = [
        camera("many-b", key_prefix="many-b", lanes=3, format="hikvision", handling="ephemeral", network="county"),
        camera("many-a", key_prefix="many-a", active_from=AT, active_until=AT.replace(year=2027)),
        certified("many-c", "c"),
        camera("many-d", proof="digest", digest_ha1="0d" * 32, format="axis", clock_use="arrival"),
    ]
    appended = await cameras.add_all(many, [entry() for _ in many])
    assert [one.index - appended[0].index for one in appended] == [0, 1, 2, 3]
    assert appended[3].size == appended[3].index + 1
    for one in many:
        assert await cameras.find(one.camera_id, "north") == one


async def test_of_many_all_are_registered_or_none(cameras: Cameras) -> None:
    await cameras.add(certified("none-first", "e"), entry())
    new = camera("none-new")
    for clash in (camera("none-first", "south"), camera("none-new"), certified("none-other", "e")):
        with pytest.raises(Conflict):
            await cameras.add_all([new, msgspec.structs.replace(clash, key_prefix="unlike")], [entry(), entry()])
    twice = [certified("none-one", "f"), certified("none-two", "f")]
    with pytest.raises(Conflict):
        await cameras.add_all(twice, [entry(), entry()])
    for name in ("none-new", "none-other", "none-one", "none-two"):
        assert await cameras.find(name, "north") is None
    before = await cameras.add(camera("none-before"), entry())
    assert [one.index for one in await cameras.add_all([new], [entry()])] == [before.index + 1]


def signed(camera_id: str, **changes: Any) -> Camera:
    """Return a camera whose vendor signs, and calls it `device`."""
    proof = {"format": "verkada", "proof": "signature", "device_id": "device", "signing_secret": "sixteen-or-more-1"}
    return camera(camera_id, **(proof | changes))


async def test_a_vendors_id_is_one_cameras_as_long_as_it_is_in_use(cameras: Cameras) -> None:
    first = signed("signed-a")
    await cameras.add(first, entry())
    assert await cameras.find("signed-a", "north") == first
    for owner in ("north", "south"):
        with pytest.raises(Conflict):
            await cameras.add(signed("signed-b", owner=owner), entry())
        with pytest.raises(Conflict):
            await cameras.add_all([signed("signed-b", owner=owner)], [entry()])
    await cameras.add_all([signed("signed-c", device_id="another")], [entry()])
    with pytest.raises(Conflict):
        await cameras.replace(signed("signed-c", revision=1), entry())
    await cameras.replace(retired(first), entry("retire"))
    await cameras.replace(signed("signed-c", revision=1), entry())


async def test_what_is_taken_is_told_of_ids_and_certificates(cameras: Cameras) -> None:
    await cameras.add_all([certified("taken-a", "1", owner="south"), camera("taken-b")], [entry(), entry()])
    assert await cameras.taken(["taken-a", "taken-b", "free"], []) == {"taken-a", "taken-b"}
    # What else the same camera has is not told.
    assert await cameras.taken(["taken-a"], ["2" * 64]) == {"taken-a"}
    assert await cameras.taken(["free"], ["1" * 64, "2" * 64]) == {"1" * 64}
    assert await cameras.taken([], []) == frozenset()


async def test_a_certificate_is_one_cameras(cameras: Cameras) -> None:
    await cameras.add(certified("shown-first", "9"), entry())
    with pytest.raises(Conflict):
        await cameras.add(certified("shown-second", "9"), entry())
    plain = camera("shown-plain")
    await cameras.add(plain, entry())
    with pytest.raises(Conflict):
        await cameras.replace(certified("shown-plain", "9", revision=1), entry("rotate_key"))
    assert await cameras.find("shown-plain", "north") == plain
    # Its own again is no clash.
    again = certified("shown-first", "9", revision=1, name="Bridge")
    await cameras.replace(again, entry("change"))
    assert await cameras.find("shown-first", "north") == again


async def test_every_member_but_id_and_owner_is_replaced(cameras: Cameras) -> None:
    await cameras.add(camera("whole"), entry())
    after = camera(
        "whole",
        name="Elsewhere",
        latitude=-1.25,
        longitude=179.5,
        timezone="Pacific/Fiji",
        key_prefix="whole-2",
        key_sha256="cd" * 32,
        heading_deg=359.5,
        clock_use="offset",
        clock_offset_s=-0.5,
        clock_uncertainty_s=7.25,
        revision=1,
        lanes=64,
        format="dahua",
        handling="ephemeral",
        active_from=AT,
        active_until=AT.replace(year=2030),
        proof="digest",
        digest_ha1="ef" * 32,
        network="county",
    )
    await cameras.replace(after, entry("change"))
    assert await cameras.find("whole", "north") == after
