"""What came with a request against what the registry knows."""

import asyncio
import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import proofs
from ingest.adapters.cameras import CameraTable
from ingest.adapters.memory import MemoryRegistry
from ingest.formats import table
from ingest.identify import Brought, Identify, Refused
from ingest.proofs import NONCE_LIFE_S, Nonces, Unproved
from schemas import keys
from schemas.cameras import FORMATS, PROOFS, Camera
from tests.support.cameras import camera

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRINT = "ab" * 32


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def digest_camera(key: str = "secret of the camera") -> Camera:
    one, _ = camera("digest-1")
    return msgspec.structs.replace(one, proof="digest", digest_ha1=keys.digest_ha1("digest-1", key))


SIGNING = "what-the-vendor-signs-with"
DEVICE = "5f0c2b1e-7a44-4c39-9f1d-2f6f8f0f7b1c"
SIGNED = b'{"webhook_type": "lpr", "data": {"camera_id": "5f0c2b1e-7a44-4c39-9f1d-2f6f8f0f7b1c", "created": 1}}'


def signing_camera(**changes: Any) -> Camera:
    proof = {"format": "verkada", "proof": "signature", "device_id": DEVICE, "signing_secret": SIGNING}
    return camera("signed-1", **(proof | changes))[0]


def signature(body: bytes = SIGNED, *, at: float = NOW.timestamp(), secret: str = SIGNING, signed_at: str = "") -> str:
    """Return a Verkada-Signature header as its documentation says."""
    made = hmac.new(secret.encode(), body + b"|" + (signed_at or str(int(at))).encode(), hashlib.sha256)
    return f"{int(at)}|{made.hexdigest()}"


def by_signature(header: str, body: bytes = SIGNED, *cameras: Camera) -> str:
    """Return the id of the camera that these prove, or why none is."""
    counted: list[str] = []
    registry = MemoryRegistry(cameras or [signing_camera()])
    identify = Identify(registry, new_key_s=0, count=counted.append, clock=lambda: NOW)
    brought = Brought(headers={"verkada-signature": header}, method="POST", uri="/v1/webhooks/verkada")
    assert identify.is_signed(brought, table.VERKADA)
    try:
        return identify.signed(brought, body).camera_id
    except Refused:
        (reason,) = counted
        return reason


def test_a_vendors_signature_proves_the_camera_that_its_message_names() -> None:
    assert by_signature(signature()) == "signed-1"
    bare = b'{"camera_id": "5f0c2b1e-7a44-4c39-9f1d-2f6f8f0f7b1c", "created": 1}'
    assert by_signature(signature(bare), bare) == "signed-1"
    stamp, _, digest = signature().partition("|")
    assert by_signature(f"{stamp}|{digest.upper()}") == "signed-1"


def test_a_signature_is_made_as_its_documentation_says() -> None:
    """Made once by hand: printf '{"a":1}|1772366400' | openssl dgst -sha256 -hmac what-the-vendor-signs-with."""
    assert (
        signature(b'{"a":1}', at=1772366400)
        == "1772366400|f2ba8c58fe57504fcc0c987eb41448d6425be5686ff47740b564474579a4d6de"
    )


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        (signature(), SIGNED + b" ", "wrong_key"),
        (signature(SIGNED + b" "), SIGNED, "wrong_key"),
        (signature(secret="another-secret-of-another"), SIGNED, "wrong_key"),
        (signature(signed_at="1"), SIGNED, "wrong_key"),
        (signature(at=NOW.timestamp() - 301), SIGNED, "stale"),
        (signature(at=NOW.timestamp() + 301), SIGNED, "stale"),
        (signature(at=NOW.timestamp() - 300), SIGNED, "signed-1"),
        (signature(b"{"), b"{", "unknown"),
        (signature(b"[]"), b"[]", "unknown"),
        (signature(b'{"data": {}, "webhook_type": 1}'), b'{"data": {}, "webhook_type": 1}', "unknown"),
        (signature(b'{"camera_id": "another"}'), b'{"camera_id": "another"}', "unknown"),
        (signature().replace("|", ","), SIGNED, "malformed"),
        ("", SIGNED, "malformed"),
        ("9" * 5000 + "|" + "0" * 64, SIGNED, "malformed"),
        (signature()[:-1], SIGNED, "malformed"),
    ],
)
def test_what_is_not_signed_as_it_should_is_refused_and_counted(header: str, body: bytes, reason: str) -> None:
    assert by_signature(header, body) == reason


def test_a_signature_proves_only_a_camera_in_use_that_is_registered_with_it() -> None:
    assert by_signature(signature(), SIGNED, signing_camera(active=False)) == "retired"
    assert by_signature(signature(), SIGNED, signing_camera(active_until=NOW)) == "not_active"
    assert by_signature(signature(), SIGNED, camera("other")[0]) == "unknown"
    assert by_signature(signature(), SIGNED, signing_camera(proof="key", signing_secret=None)) == "wrong_proof"


def test_a_key_beside_a_signature_is_what_counts() -> None:
    identify = Identify(MemoryRegistry(), new_key_s=0)
    for name in ("authorization", "x-api-key", "x-client-certificate-sha256"):
        headers = {"verkada-signature": signature(), name: "x"}
        assert not identify.is_signed(Brought(headers=headers, method="POST", uri="/"), table.VERKADA)
    signed = Brought(headers={"verkada-signature": signature()}, method="POST", uri="/")
    assert not identify.is_signed(signed, table.AXIS)
    assert not identify.is_signed(signed, None)


def test_a_device_is_its_camera_in_use_whatever_comes_in_which_order() -> None:
    old, new = signing_camera(active=False, revision=1), msgspec.structs.replace(signing_camera(), camera_id="signed-2")
    for order in ((old, new), (new, old)):
        cameras = CameraTable(order)
        found = cameras.by_device("verkada", DEVICE)
        assert found is not None
        assert found.camera_id == "signed-2"
        assert cameras.by_device("axis", DEVICE) is None
        cameras.remove("signed-2")
        assert cameras.by_device("verkada", DEVICE) is None


def test_what_was_waited_for_in_vain_is_not_waited_for_again_and_found_all_the_same() -> None:
    one, key = camera()
    registry = MemoryRegistry()
    identify = Identify(registry, new_key_s=0.2)
    brought = Brought(headers={"x-api-key": key}, method="POST", uri="/")

    async def ask() -> float:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Refused):
            await identify.camera(brought, table.NATIVE)
        return asyncio.get_running_loop().time() - begun

    async def both() -> Camera:
        first, looks = await ask(), []
        registry.by_prefix = lambda prefix: looks.append(prefix)  # type: ignore[method-assign]
        await ask()
        assert len(looks) == 1, "it was looked for once, and not waited for"
        assert first >= 0.2
        del registry.by_prefix
        registry._cameras.put(one)
        return await identify.camera(brought, table.NATIVE)

    assert asyncio.run(both()) == one


def test_what_is_remembered_of_unknown_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.identify.MAX_IN_VAIN", 10)
    identify = Identify(MemoryRegistry(), new_key_s=0)

    async def guess() -> None:
        for _ in range(50):
            with pytest.raises(Refused):
                await identify.camera(Brought(headers={"x-api-key": keys.new().key}, method="POST", uri="/"), None)

    asyncio.run(guess())
    assert len(identify._in_vain) == 10


def response(nonce: str, *, key: str = "secret of the camera", uri: str = "/p?a=1", **changes: str) -> str:
    """Return an Authorization header as RFC 7616, 3.4.1 makes it."""

    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    ha1, ha2 = h(f"digest-1:platetrail:{key}"), h(f"POST:{uri}")
    values = {
        "username": "digest-1",
        "realm": "platetrail",
        "nonce": nonce,
        "uri": uri,
        "response": h(f"{ha1}:{nonce}:00000001:0a4f113b:auth:{ha2}"),
        "cnonce": "0a4f113b",
    } | changes
    quoted = ", ".join(f'{name}="{value}"' for name, value in values.items())
    return f"Digest {quoted}, algorithm=SHA-256, qop=auth, nc=00000001"


def refusal(one: Camera, *, token: str | None = None, proxy: str | None = None, **headers: str) -> str:
    """Return why this is refused, or an empty text."""
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    reasons: list[str] = []
    identify = Identify(MemoryRegistry([one]), new_key_s=0, proxy_secret=proxy, count=reasons.append, clock=lambda: NOW)
    brought = Brought(headers=said, method="POST", uri="/p?a=1", token=token)
    try:
        assert asyncio.run(identify.camera(brought, "hikvision")) == one
    except Refused as refused:
        status = refused.status
    else:
        assert reasons == []
        return ""
    assert status == (403 if reasons[0] in ("retired", "not_active", "ephemeral") else 401)
    return reasons[0]


def test_formats_and_parsers_are_the_same() -> None:
    assert set(FORMATS) == set(table.PARSERS) == set(PROOFS) - {None}


def test_a_key_is_taken_in_each_header() -> None:
    one, key = camera()
    assert refusal(one, authorization=f"Bearer {key}") == ""
    assert refusal(one, authorization=f"bearer  {key} ") == ""
    assert refusal(one, x_api_key=key) == ""
    assert refusal(one, authorization=basic(one.camera_id, key)) == ""
    assert refusal(one, authorization=basic(one.key_prefix, key)) == ""


def test_nothing_else_is() -> None:
    one, key = camera()
    _, other = camera()
    wrong = f"ptk_{one.key_prefix}_{'A' * 43}"
    assert refusal(one) == "no_proof"
    assert refusal(one, authorization="") == "malformed"
    assert refusal(one, authorization=key) == "malformed"
    assert refusal(one, authorization="Basic " + key) == "malformed"
    assert refusal(one, authorization=basic("", key)) == "wrong_key"
    assert refusal(one, authorization=basic("another", key)) == "wrong_key"
    assert refusal(one, authorization=basic(one.camera_id, wrong)) == "wrong_key"
    assert refusal(one, authorization=f"Bearer {wrong}") == "wrong_key"
    assert refusal(one, x_api_key=wrong) == "wrong_key"
    assert refusal(one, x_api_key=other) == "unknown"
    # What is said first counts: a good key beside a bad one is somebody trying.
    assert refusal(one, authorization=f"Bearer {other}", x_api_key=key) == "unknown"


@pytest.mark.parametrize("proof", ["digest", "url", "certificate"])
def test_a_camera_proves_itself_in_its_own_way_alone(proof: str) -> None:
    one, key = camera(proof=proof)
    assert refusal(one, authorization=f"Bearer {key}") == "wrong_proof"


def test_a_token_in_the_path() -> None:
    token = keys.new_token()
    one, _ = camera(proof="url", key_prefix=token.prefix, key_sha256=token.sha256, format="hikvision")
    assert refusal(one, token=token.key) == ""
    assert refusal(one, token=f"ptu_{token.prefix}_{'A' * 22}") == "wrong_key"
    assert refusal(one, token=keys.new_token().key) == "unknown"
    assert refusal(one, token="../" + token.key) == "malformed"
    assert refusal(one, authorization=f"Bearer {token.key}") == "malformed"
    plain, key = camera()
    assert refusal(plain, token=key) == "malformed"
    assert refusal(plain, token=key, authorization=f"Bearer {key}") == "malformed"


def test_a_certificate_counts_on_the_word_of_the_proxy_alone() -> None:
    one, _ = camera(proof="certificate", certificate_sha256=PRINT)
    secret = "s" * 32
    colons = ":".join(PRINT.upper()[at : at + 2] for at in range(0, 64, 2))
    good = {"x_client_certificate_sha256": PRINT, "x_proxy_secret": secret}
    for shown in (PRINT, PRINT.upper(), colons):
        assert refusal(one, proxy=secret, **(good | {"x_client_certificate_sha256": shown})) == ""
    assert refusal(one, proxy=None, **good) == "untrusted_proxy"
    assert refusal(one, proxy="t" * 32, **good) == "untrusted_proxy"
    assert refusal(one, proxy=secret, x_client_certificate_sha256=PRINT) == "untrusted_proxy"
    assert refusal(one, proxy=secret, **(good | {"x_client_certificate_sha256": "cd" * 32})) == "unknown"
    assert refusal(one, proxy=secret, **(good | {"x_client_certificate_sha256": "CN=camera"})) == "malformed"
    plain, key = camera()
    claim = {"x_client_certificate_sha256": PRINT, "authorization": f"Bearer {key}"}
    assert refusal(plain, proxy=secret, **claim) == "untrusted_proxy"


def test_the_registry_forgets_a_certificate_with_its_revision() -> None:
    one, _ = camera(proof="certificate", certificate_sha256=PRINT)
    cameras = CameraTable([one])
    cameras.put(msgspec.structs.replace(one, proof="key", certificate_sha256=None, revision=1))
    assert cameras.by_certificate(PRINT) is None


@pytest.mark.parametrize("in_time", [True, False])
def test_ephemeral_reads_are_taken_if_the_broker_lets_go_of_them_in_time(in_time: bool) -> None:
    one, key = camera(handling="ephemeral")
    reasons: list[str] = []
    identify = Identify(MemoryRegistry([one]), new_key_s=0, takes_ephemeral=lambda: in_time, count=reasons.append)
    brought = Brought(headers={"x-api-key": key}, method="POST", uri="/v1/detections")
    if in_time:
        assert asyncio.run(identify.camera(brought, None)) == one
    else:
        with pytest.raises(Refused) as refused:
            asyncio.run(identify.camera(brought, None))
        assert refused.value.status == 403
    assert reasons == [] if in_time else ["ephemeral"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"active": False}, "retired"),
        ({"active_from": NOW + timedelta(seconds=1)}, "not_active"),
        ({"active_from": NOW, "active_until": NOW + timedelta(seconds=1)}, ""),
        ({"active_until": NOW}, "not_active"),
        ({"handling": "ephemeral"}, "ephemeral"),
    ],
)
def test_who_may_not_push_is_told_only_with_the_right_key(changes: dict[str, Any], reason: str) -> None:
    one, key = camera(**changes)
    assert refusal(one, authorization=f"Bearer {key}") == reason
    assert refusal(one, authorization=f"Bearer ptk_{one.key_prefix}_{'A' * 43}") == "wrong_key"


def checked(header: str, nonces: Nonces, *, at_s: float = 1000.0, uri: str = "/p?a=1") -> str:
    """Return why a Digest response is refused, or an empty text."""
    try:
        shown = proofs.of_authorization(header)
        assert isinstance(shown, proofs.DigestShown)
        proofs.check_digest(digest_camera(), shown, method="POST", uri=uri, nonces=nonces, now_s=at_s)
    except Unproved as unproved:
        return unproved.reason
    return ""


def test_a_digest_response_proves_the_camera() -> None:
    nonces = Nonces(b"n" * 32)
    nonce = nonces.make(1000.0)
    assert checked(response(nonce), nonces) == ""
    assert checked(response(nonce), nonces, at_s=1000 + NONCE_LIFE_S) == ""
    assert checked(response(nonce), nonces, at_s=1001 + NONCE_LIFE_S) == "stale"
    assert checked(response(nonce), nonces, at_s=998) == "stale"
    assert checked(response(nonce), Nonces(b"o" * 32)) == "stale"
    assert checked(response("made up"), nonces) == "stale"
    assert checked(response(nonce, key="another"), nonces) == "wrong_key"
    assert checked(response(nonce), nonces, uri="/p?a=2") == "wrong_key"
    assert checked(response(nonce, uri="/other"), nonces) == "wrong_key"
    # A wrong password is not told that its nonce is old: it would try for ever.
    assert checked(response(nonce, key="another"), nonces, at_s=9999) == "wrong_key"


def test_other_digests_are_not_taken() -> None:
    nonces = Nonces(b"n" * 32)
    good = response(nonces.make(1000.0))
    for broken in (
        good.replace("SHA-256", "MD5"),
        good.replace("qop=auth", "qop=auth-int"),
        good.replace("platetrail", "elsewhere"),
        good.replace(", nc=00000001", ""),
        good + ', username="digest-2"',
        good + ", junk",
        "Digest",
        "Digest " + "a" * 5000,
    ):
        assert checked(broken, nonces) == "malformed"


def test_a_camera_without_digest_is_not_proved_by_one() -> None:
    nonces = Nonces(b"n" * 32)
    shown = proofs.of_authorization(response(nonces.make(1000.0)))
    assert isinstance(shown, proofs.DigestShown)
    one, _ = camera("digest-1")
    for other in (one, msgspec.structs.replace(one, digest_ha1=digest_camera().digest_ha1)):
        with pytest.raises(Unproved) as caught:
            proofs.check_digest(other, shown, method="POST", uri="/p?a=1", nonces=nonces, now_s=1000)
        assert caught.value.reason == "wrong_proof"


def test_a_challenge_says_what_would_do() -> None:
    assert proofs.challenges("native", "n", stale=False) == ("Bearer",)
    assert proofs.challenges("openalpr", "n", stale=False)[0] == "Bearer"
    strongest = proofs.challenges("hikvision", "n", stale=True)[0]
    assert strongest == 'Digest realm="platetrail", qop="auth", algorithm=SHA-256, nonce="n", stale=true'


def _reason(header: str) -> str:
    try:
        proofs.of_authorization(header)
    except Unproved as unproved:
        return unproved.reason
    return ""


@given(st.text(max_size=200), st.binary(max_size=60))
def test_any_header_is_read_or_refused(text: str, raw: bytes) -> None:
    for header in (text, "Digest " + text, "Basic " + text, "Basic " + base64.b64encode(raw).decode()):
        assert _reason(header) in ("", "malformed")
    assert not Nonces(b"n" * 32).is_fresh(text, 1000.0)
