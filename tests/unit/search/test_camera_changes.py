"""A camera into its next revision."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas import keys
from schemas.cameras import Camera
from schemas.entries import canonical
from schemas.queries import Asker
from search.audit.lookups import Lookups
from search.camera_changes import CHANGEABLE, changed, rekeyed
from search.camera_csv import write
from search.cameras import build, checked, entry, view
from search.errors import Invalid

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PRINT = "0f" * 32
KEY, TOKEN = keys.new(), keys.new_token()
BASE: dict[str, Any] = {
    "camera_id": "i70-west-12",
    "name": "I-70 west",
    "latitude": 39.74,
    "longitude": -105.21,
    "timezone": "America/Denver",
    "heading_deg": 270.0,
    "format": "hikvision",
    "active_until": "2026-10-01T00:00:00-06:00",
}


def camera(**changes: Any) -> Camera:
    """Return a camera in its fourth revision."""
    return msgspec.structs.replace(build(checked(BASE | changes), "north", keys.new(), AT), revision=3)


def patch(before: Camera, **members: Any) -> Camera:
    """Return a camera after a merge patch."""
    return changed(before, json.dumps(members).encode())


def flaws(before: Camera, body: Any) -> list[str]:
    """Return where a patch is at fault."""
    with pytest.raises(Invalid) as caught:
        changed(before, body if isinstance(body, bytes) else json.dumps(body).encode())
    return [flaw.pointer for flaw in caught.value.flaws]


def test_members_change_and_the_rest_stays() -> None:
    before = camera()
    after = patch(before, lanes=2, latitude=39.75, handling="ephemeral", clock_use="offset", clock_offset_s=-3600)
    assert after == msgspec.structs.replace(
        before, lanes=2, latitude=39.75, handling="ephemeral", clock_use="offset", clock_offset_s=-3600.0, revision=4
    )


def test_its_network_is_set_and_taken_back() -> None:
    joined = patch(camera(), network="front-range")
    assert (joined.network, joined.revision) == ("front-range", 4)
    assert patch(joined, network=None).network is None
    assert flaws(joined, {"handling": "ephemeral"}) == ["/network"]
    assert patch(joined, handling="ephemeral", network=None).handling == "ephemeral"
    assert flaws(camera(), {"network": "Front Range"}) == ["/network"]
    assert flaws(camera(), {"network": "front-range\n"}) == ["/network"]


def test_null_takes_a_member_to_its_default() -> None:
    after = patch(camera(), heading_deg=None, active_until=None, format=None)
    assert (after.heading_deg, after.active_until, after.format) == (None, None, None)
    assert flaws(camera(), {"name": None}) == ["/name"]


def test_what_changes_nothing_is_no_revision() -> None:
    before = camera(proof="digest")
    assert patch(before) is before
    assert patch(before, name=" I-70  west ", latitude=39.74, lanes=None) is before


@pytest.mark.parametrize(
    "name",
    [
        "camera_id",
        "owner",
        "proof",
        "certificate_sha256",
        "device_id",
        "signing_secret",
        "active",
        "key_sha256",
        "revision",
    ],
)
def test_some_members_are_not_to_be_changed(name: str) -> None:
    assert name not in CHANGEABLE
    assert flaws(camera(), {name: "x"}) == [""]


def test_a_patch_is_held_to_the_shape_of_a_camera() -> None:
    assert flaws(camera(), {"latitude": 91, "timezone": "Nowhere"}) == ["/latitude", "/timezone"]
    assert flaws(camera(), {"active_from": "2026-10-01T06:00:00Z"}) == ["/active_until"]
    assert flaws(camera(), {"active_from": "2026-04-01T00:00:00"}) == ["/active_from"]
    assert flaws(camera(proof="digest"), {"format": "native"}) == ["/proof"]
    assert flaws(camera(), b"[]") == [""]
    assert flaws(camera(), b'{"name":"a","name":"b"}') == [""]


def rekey(before: Camera, **members: Any) -> tuple[Camera, str | None]:
    """Return a camera with another key, and the key."""
    return rekeyed(before, json.dumps(members).encode(), KEY, TOKEN)


def test_a_new_key_ends_the_old_one() -> None:
    before = camera()
    after, key = rekey(before)
    assert key == KEY.key
    assert after == msgspec.structs.replace(before, key_prefix=KEY.prefix, key_sha256=KEY.sha256, revision=4)


def test_a_new_key_can_be_another_proof() -> None:
    digest, key = rekey(camera(), proof="digest")
    assert key == KEY.key
    assert digest.digest_ha1 == keys.digest_ha1("i70-west-12", KEY.key)
    url, token = rekey(digest, proof="url")
    assert (token, url.digest_ha1, url.key_sha256) == (TOKEN.key, None, TOKEN.sha256)
    certificate, nothing = rekey(url, proof="certificate", certificate_sha256=PRINT)
    assert (nothing, certificate.certificate_sha256) == (None, PRINT)
    plain, _ = rekey(certificate, proof="key")
    assert (plain.proof, plain.certificate_sha256) == ("key", None)


SECRET = "what-the-vendor-signs-with"


def test_a_vendors_signature_needs_its_secret_again_and_no_other_id() -> None:
    verkada = camera(format="verkada")
    signed, nothing = rekey(verkada, proof="signature", device_id="5f0c-2b1e", signing_secret=SECRET)
    assert (nothing, signed.device_id, signed.signing_secret) == (None, "5f0c-2b1e", SECRET)
    other, _ = rekey(signed, signing_secret=SECRET + "-2")
    assert (other.proof, other.device_id, other.signing_secret) == ("signature", "5f0c-2b1e", SECRET + "-2")
    with pytest.raises(Invalid) as caught:
        rekey(signed)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/signing_secret"]
    plain, key = rekey(signed, proof="key")
    assert (key, plain.device_id, plain.signing_secret) == (KEY.key, None, None)
    moved = changed(signed, b'{"lanes": 4}')
    assert moved == msgspec.structs.replace(signed, lanes=4, revision=signed.revision + 1)


def test_a_signing_secret_is_neither_shown_nor_recorded() -> None:
    signed, _ = rekey(camera(format="verkada"), proof="signature", device_id="5f0c-2b1e", signing_secret=SECRET)
    assert SECRET.encode() not in msgspec.json.encode(view(signed))
    assert SECRET.encode() not in write([view(signed)])
    asker = Asker(person="olga", agency="north", roles=frozenset({"camera_operator"}))
    recorded = entry("rotate_key", signed, asker, signed.registered_at, Lookups(b"l" * 32))
    assert SECRET not in repr(recorded)
    (of_camera,) = [item.value for item in recorded.disclosures if item.field == "camera"]
    assert isinstance(of_camera, dict)
    assert (of_camera["signing_secret"], of_camera["device_id"]) == ("withheld", "5f0c-2b1e")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"proof": "signature", "device_id": "d", "signing_secret": SECRET}, "/proof"),
        ({"device_id": "d"}, "/device_id"),
        ({"signing_secret": SECRET}, "/signing_secret"),
        ({"proof": "signature", "device_id": "d", "signing_secret": "too short"}, "/signing_secret"),
        ({"proof": "certificate"}, "/certificate_sha256"),
        ({"certificate_sha256": PRINT}, "/certificate_sha256"),
        ({"proof": "certificate", "certificate_sha256": PRINT.upper()}, "/certificate_sha256"),
        ({"proof": "certificate", "certificate_sha256": PRINT + "\n"}, "/certificate_sha256"),
        ({"proof": "password"}, "/proof"),
        ({"name": "x"}, ""),
    ],
)
def test_a_proof_that_does_not_hold_is_refused(members: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        rekey(camera(), **members)
    assert pointer in [flaw.pointer for flaw in caught.value.flaws]


@pytest.mark.parametrize("format_", ["native", None, "openalpr", "dahua_itsapi"])
def test_a_format_permits_its_own_proofs(format_: str | None) -> None:
    with pytest.raises(Invalid):
        checked(BASE | {"format": format_, "proof": "url" if format_ != "openalpr" else "digest"})


def test_what_digest_keeps_is_in_no_view_and_no_entry() -> None:
    before = camera(proof="digest")
    assert before.digest_ha1 is not None
    assert before.digest_ha1 not in msgspec.json.encode(view(before)).decode()
    asker = Asker(person="jo", agency="north", roles=frozenset({"camera_operator"}))
    made = entry("rotate_key", before, asker, AT, Lookups(b"k" * 32))
    assert before.digest_ha1.encode() not in made.secret()
    assert {item.field: item.value for item in made.disclosures}["camera"]["digest_ha1"] == "withheld"
    assert canonical(msgspec.json.decode(made.secret()))
