"""Cameras as bodies and as audit entries."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas import keys
from schemas.entries import canonical
from schemas.queries import Asker
from search.audit.lookups import Lookups
from search.cameras import HELPS, build, decode, entry, retired, view
from search.errors import Invalid

GOOD: dict[str, Any] = {
    "camera_id": "i70-west-12",
    "name": "I-70 west, km 12",
    "latitude": 39.74,
    "longitude": -105.21,
    "timezone": "America/Denver",
}
AT = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=UTC)
ASKER = Asker(person="operator-jo", agency="north", roles=frozenset({"camera_operator"}))


def body(**changes: Any) -> bytes:
    """Return a good body with members changed; `...` removes one."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode()


def test_a_good_body_is_a_camera() -> None:
    new = decode(body(name="  I-70  west ", clock_use="offset", clock_offset_s=-3600, heading_deg=270))
    assert (new.camera_id, new.name, new.latitude) == ("i70-west-12", "I-70 west", 39.74)
    assert (new.clock_use, new.clock_offset_s, new.clock_uncertainty_s, new.heading_deg) == (
        "offset",
        -3600.0,
        2.0,
        270,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("camera_id", ...),
        ("camera_id", "I70"),
        ("camera_id", "-i70"),
        ("camera_id", "i70\n"),
        ("camera_id", "a" * 64),
        ("camera_id", 7),
        ("name", ""),
        ("name", "   "),
        ("name", "a\u0000b"),
        ("latitude", 90.1),
        ("latitude", "39.74"),
        ("longitude", -180.1),
        ("longitude", True),
        ("timezone", "Denver"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "-07:00"),
        ("heading_deg", 361),
        ("clock_use", "sometimes"),
        ("clock_offset_s", 5),
        ("clock_uncertainty_s", -1),
        ("clock_uncertainty_s", 3601),
        ("owner", "North!"),
        ("active_from", "0001-01-01T00:00:00+14:00"),
        ("active_until", "9999-12-31T23:59:59-12:00"),
        ("active_until", 1e300),
        ("lanes", 10**30),
        ("latitude", 10**400),
        ("network", "County!"),
    ],
)
def test_each_member_is_held_to_its_shape_with_help(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body(**{name: value}))
    (flaw,) = caught.value.flaws
    assert flaw.pointer == f"/{name}"
    assert HELPS[f"/{name}"] in flaw.detail


def test_a_camera_without_a_position_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        decode(body(latitude=0, longitude=0.0))
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/latitude"]
    assert decode(body(latitude=0)).latitude == 0.0


def test_unknown_members_are_refused_unquoted() -> None:
    with pytest.raises(Invalid) as caught:
        decode(body(password="hunter2"))
    assert "password" not in caught.value.problem().body().decode()


def test_the_key_is_in_the_record_as_a_hash_and_in_no_view() -> None:
    key = keys.new()
    camera = build(decode(body()), "north", key, AT)
    assert keys.matches(key.key, camera.key_sha256)
    shown = msgspec.json.encode(view(camera)).decode()
    assert key.key not in shown
    assert key.sha256 not in shown
    assert key.prefix in shown


def test_a_retired_camera_is_the_next_revision() -> None:
    camera = build(decode(body()), "north", keys.new(), AT)
    after = retired(camera)
    assert (after.active, after.revision) == (False, 1)
    assert msgspec.structs.replace(after, active=True, revision=0) == camera


def test_an_entry_shows_neither_who_nor_which() -> None:
    lookups = Lookups(b"k" * 32)
    camera = build(decode(body()), "north", keys.new(), AT)
    made = entry("add", camera, ASKER, AT, lookups)
    leaf = made.leaf()
    shown = msgspec.json.decode(leaf)
    assert shown.pop("commitments").keys() == {"person", "camera"}
    assert shown == {
        "v": 1,
        "kind": "camera",
        "type": "camera",
        "action": "add",
        "at": "2026-03-01T12:30:00.000005Z",
        "agency": "north",
        "trigger": "human",
    }
    for hidden in ("operator-jo", "i70-west-12", camera.key_prefix, camera.key_sha256):
        assert hidden.encode() not in leaf
    disclosed = {item.field: item.value for item in made.disclosures}
    assert disclosed["camera"]["latitude"] == "39.74"
    assert disclosed["camera"]["key_sha256"] == camera.key_sha256
    assert canonical(disclosed["camera"])
    assert made.lookups == (lookups.lookup("person", "operator-jo"),)
