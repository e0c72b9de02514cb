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
