"""A registered camera into its next revision: members changed, or a new key. Pure."""

from typing import Any, Final

import msgspec

from schemas import keys
from schemas.cameras import Camera, Proof
from search.bodies import load
from search.cameras import NewCamera, build, checked
from search.errors import Flaw, Invalid

_PROVING: Final = ("proof", "certificate_sha256", "device_id", "signing_secret")

FIXED: Final = frozenset({"camera_id", "owner", *_PROVING})
"""Members of a new camera that a change can't touch: the id is for good, and a proof goes with a new key."""

CHANGEABLE: Final = tuple(name for name in NewCamera.__struct_fields__ if name not in FIXED)


def changed(camera: Camera, body: bytes) -> Camera:
    """Return a camera's next revision by a JSON merge patch (RFC 7396), or the same camera if nothing changes.

    Null takes an optional member back to its default. Raises Invalid with every flaw, and TooLarge; quotes nothing.
    """
    patch = _object(body, CHANGEABLE)
    merged = {name: value for name, value in (_members(camera) | patch).items() if value is not None}
    return _next(camera, checked(merged))


def rekeyed(camera: Camera, body: bytes, key: keys.NewKey, token: keys.NewKey) -> tuple[Camera, str | None]:
    """Return a camera's next revision with another key or proof, and the key to show, which is the old one's end.

    `token` is used for `proof` `url`. The body may name the proof and what goes with it. Without `proof` it stays, and
    so does `device_id` as long as the vendor signs. Raises Invalid, TooLarge.
    """
    asked = _object(body, _PROVING)
    replaced = {"certificate_sha256", "signing_secret"}
    if asked.get("proof", camera.proof) != "signature":
        replaced.add("device_id")
    members = {name: value for name, value in _members(camera).items() if name not in replaced}
    new = checked({**members, **{name: value for name, value in asked.items() if value is not None}})
    made = secret_for(new.proof, key, token)
    after = build(new, camera.owner, made, camera.registered_at)
    return msgspec.structs.replace(after, revision=camera.revision + 1), shown(new.proof, made)


def secret_for(proof: Proof, key: keys.NewKey, token: keys.NewKey) -> keys.NewKey:
    """Return which of the two a camera of this proof gets."""
    return token if proof == "url" else key


def shown(proof: Proof, made: keys.NewKey) -> str | None:
    """Return what its operator is shown of it: nothing where the proof is not ours."""
    return None if proof in ("certificate", "signature") else made.key


def _members(camera: Camera) -> dict[str, Any]:
    members = {name: getattr(camera, name) for name in NewCamera.__struct_fields__}
    builtin: dict[str, Any] = msgspec.to_builtins(members)
    return {name: value for name, value in builtin.items() if value is not None}


def _object(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    raw = load(body)
    if not isinstance(raw, dict):
        raise Invalid(Flaw(pointer="", detail="A JSON object is expected here."))
    if not raw.keys() <= set(known):
        detail = f"There are members that mean nothing here; known are: {', '.join(known)}."
        raise Invalid(Flaw(pointer="", detail=detail), detail="The camera cannot be changed like this.")
    return raw


def _next(camera: Camera, new: NewCamera) -> Camera:
    unchanged = keys.NewKey("", camera.key_prefix, camera.key_sha256)
    after = msgspec.structs.replace(
        build(new, camera.owner, unchanged, camera.registered_at),
        digest_ha1=camera.digest_ha1,
        revision=camera.revision,
    )
    return camera if after == camera else msgspec.structs.replace(after, revision=camera.revision + 1)
