"""Tokens: only those of the issuer, for this audience, in force, of one algorithm."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from search import identity
from search.errors import NotAuthenticated
from search.identity import Verifier

KEY = Ed25519PrivateKey.generate()
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ISSUER = "https://issuer.example"


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token, changed; None removes one."""
    base = {
        "iss": ISSUER,
        "aud": "platetrail",
        "exp": int(time.time()) + 3600,
        "sub": "inspector",
        "agency": "north",
        "roles": ["investigator"],
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def token(key: Any = KEY, algorithm: str = "EdDSA", **changes: Any) -> str:
    """Return a signed token."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def verifier(now: Callable[[], float] = time.time) -> Verifier:
    """Return a verifier of the tests' issuer."""
    return Verifier(PEM, issuer=ISSUER, audience="platetrail", now=now)


def test_a_good_token_names_the_asker() -> None:
    asker = verifier().identify("Bearer " + token(roles=["investigator", "auditor", "emperor"]))
    assert (asker.person, asker.agency, asker.trigger) == ("inspector", "north", "human")
    assert asker.roles == {"investigator", "auditor"}


def test_the_trigger_comes_from_the_token() -> None:
    assert verifier().verify(token(trigger="alert")).trigger == "alert"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "other"},
        {"exp": 1},
        {"exp": None},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"agency": None},
        {"roles": None},
        {"roles": "investigator"},
        {"agency": "North Police"},
        {"sub": ""},
        {"trigger": "curiosity"},
        {"nbf": time.time() + 3600},
    ],
)
def test_a_token_that_lacks_something_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        verifier().verify(token(**changes))


def test_another_key_or_algorithm_is_refused() -> None:
    strangers = [
        token(Ed25519PrivateKey.generate()),
        token("k" * 64, "HS512"),
        token(ec.generate_private_key(ec.SECP256R1()), "ES256"),
        jwt.encode(claims(), "", algorithm="none"),
    ]
    for stranger in strangers:
        with pytest.raises(NotAuthenticated):
            verifier().verify(stranger)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic eDp5",
        "Bearer ptk_abcdefgh_" + "A" * 43,
        "Bearer a.b.c",
        "Bearer " + "W1tb" * 1500 + ".e30.AA",
        "Bearer é.b.c",
        "Bearer " + "a" * 9000,
    ],
)
def test_what_is_no_token_is_refused(header: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        verifier().identify(header)


def test_a_remembered_token_still_expires() -> None:
    times = [time.time()]
    known = verifier(lambda: times[0])
    held = token()
    assert known.verify(held) is known.verify(held)
    times[0] += 3601
    with pytest.raises(NotAuthenticated):
        known.verify(held)


def test_forgotten_tokens_are_verified_anew() -> None:
    known = verifier()
    held = token()
    before = known.verify(held)
    known.forget()
    again = known.verify(held)
    assert again == before
    assert again is not before


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CACHE_LIMIT", 2)
    known = verifier()
    first, second, third = (token(sub=name) for name in ("a", "b", "c"))
    kept = known.verify(first)
    known.verify(second)
    assert known.verify(first) is kept
    known.verify(third)
    assert known.verify(first) is kept


def test_an_rsa_issuer_signs_rs256() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    known = Verifier(pem, issuer=ISSUER, audience="platetrail")
    assert known.verify(token(key, "RS256")).person == "inspector"
    with pytest.raises(NotAuthenticated):
        known.verify(token())


def test_weak_or_foreign_keys_are_refused_at_build() -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(ValueError, match="Ed25519"):
            Verifier(pem, issuer=ISSUER, audience="platetrail")


def test_a_refusal_says_nothing_of_the_token() -> None:
    with pytest.raises(NotAuthenticated) as caught:
        verifier().verify(token(aud="other"))
    assert "inspector" not in caught.value.problem().body().decode()
    assert caught.value.headers() == {"WWW-Authenticate": "Bearer"}
