"""`platetrail camera`: register cameras of one's agency, show, change, re-key and retire them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console

from schemas.cameras import Proof
from services.cli import camera_csv, camera_health
from services.cli.camera_options import (
    ActiveFrom,
    ActiveUntil,
    AsJson,
    Bound,
    CameraId,
    Certificate,
    Clock,
    ClockOffset,
    ClockUncertainty,
    DeviceId,
    Handled,
    Heading,
    KeyFile,
    Lanes,
    Latitude,
    Longitude,
    Name,
    Network,
    NewKeyFile,
    Proving,
    SigningSecret,
    Zone,
)
from services.cli.camera_tables import camera_card, cameras_table
from services.cli.failures import USAGE, Failure
from services.cli.options import SearchUrl, TokenFile, moment
from services.cli.secret_file import Write, claimed

UNSETTABLE: Final = (
    "heading", "lanes", "format", "network", "active-from", "active-until",
    "clock", "clock-offset", "clock-uncertainty", "handling",
)  # fmt: skip
"""Members that `change --unset` takes back to their default."""

KEY_FILE: Final = "the key's file"

MEMBERS: Final = {
    "heading": "heading_deg",
    "clock": "clock_use",
    "clock-offset": "clock_offset_s",
    "clock-uncertainty": "clock_uncertainty_s",
    "active-from": "active_from",
    "active-until": "active_until",
}
"""Members that have another name in a body than on the command line."""


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    says = "Register cameras, show, change, re-key and retire them; many at once from CSV."
    group = typer.Typer(help=says, no_args_is_help=True, rich_markup_mode="markdown")
    group.command("add")(add)
    group.command("list")(show_all)
    group.command("show")(show)
    group.command("change")(change)
    group.command("rotate-key")(rotate_key)
    group.command("retire")(retire)
    camera_csv.add_to(group)
    camera_health.add_to(group)
    app.add_typer(group, name="camera", rich_help_panel="Camera operators")


def add(
    camera_id: Annotated[str, typer.Argument(help="Lower case letters, digits and hyphens; yours to choose.")],
    name: Annotated[str, typer.Option(help="What people call the place.")],
    latitude: Annotated[float, typer.Option(min=-90, max=90, help="Degrees, WGS 84.")],
    longitude: Annotated[float, typer.Option(min=-180, max=180, help="Degrees, WGS 84.")],
    timezone: Annotated[str, typer.Option(help="IANA name, such as America/Denver.")],
    url: SearchUrl,
    heading: Heading = None,
    lanes: Lanes = None,
    format_: Bound = None,
    clock: Clock = None,
    clock_offset: ClockOffset = None,
    clock_uncertainty: ClockUncertainty = None,
    handling: Handled = None,
    network: Network = None,
    active_from: ActiveFrom = None,
    active_until: ActiveUntil = None,
    proof: Proving = None,
    certificate: Certificate = None,
    device_id: DeviceId = None,
    signing_secret: SigningSecret = None,
    key_file: NewKeyFile = None,
    token_file: TokenFile = None,
) -> None:
    """Register a camera of your agency and show its key, once.

    The key is what the camera sends as `Authorization: Bearer …`, as password of HTTP Basic or Digest (the user is its
    id), or in the path; Platetrail keeps only its hash. Needs a token with the role camera_operator. The change is on
    the record.

    **Examples**

        platetrail camera add i70-west-12 --name "I-70 west, km 12" \\
            --latitude 39.74 --longitude -105.21 --timezone America/Denver \\
            --key-file i70-west-12.key

        platetrail camera add gate-3 --name "Gate 3" \\
            --latitude 39.74 --longitude -105.21 --timezone America/Denver \\
            --format hikvision --proof digest --key-file gate-3.key \\
            --clock offset --clock-offset -3600

        platetrail camera add gate-4 --name "Gate 4" \\
            --latitude 39.74 --longitude -105.21 --timezone America/Denver \\
            --proof certificate --certificate gate-4.pem

        platetrail camera add gate-5 --name "Gate 5" \\
            --latitude 39.74 --longitude -105.21 --timezone America/Denver \\
            --format verkada --signing-secret-file verkada.secret \\
            --proof signature --device-id 5f0c2b1e-7a44-4c39-9f1d-2f6f8f0f7b1c
    """
    from services.cli.client import Service, read_token

    body = _given(
        camera_id=camera_id,
        name=name,
        latitude=latitude,
        longitude=longitude,
        timezone=timezone,
        heading_deg=heading,
        lanes=lanes,
        format=format_,
        clock_use=clock,
        clock_offset_s=clock_offset,
        clock_uncertainty_s=clock_uncertainty,
        handling=handling,
        network=network,
        active_from=_moment(active_from),
        active_until=_moment(active_until),
        proof=proof,
        certificate_sha256=_fingerprint(certificate),
        device_id=device_id,
        signing_secret=_secret(signing_secret),
    )
    with claimed(key_file, KEY_FILE) as write:
        with Service("search", url, read_token(token_file)) as service:
            made = register(service, body)
        _hand_over(f"Camera {camera_id} is registered", made, key_file, write)


def register(service: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Register a camera and return the answer: `camera`, `receipt`, and its `key`, if it has one. Raises Failure."""
    return _decoded(service.post("/v1/cameras", body))


def show_all(url: SearchUrl, as_json: AsJson = False, token_file: TokenFile = None) -> None:
    """List the cameras of your agency. Needs a token with the role camera_operator.

    **Example**

        platetrail camera list --json
    """
    answer = _get(url, token_file, "/v1/cameras")
    if as_json:
        typer.echo(answer.decode())
        return
    cameras = _decoded(answer)["cameras"]
    Console().print(cameras_table(cameras) if cameras else "Your agency has no camera.")


def show(camera_id: CameraId, url: SearchUrl, as_json: AsJson = False, token_file: TokenFile = None) -> None:
    """Show all that the registry knows of a camera of your agency, but for its key.

    **Example**

        platetrail camera show i70-west-12
    """
    answer = _get(url, token_file, _path(camera_id))
    if as_json:
        typer.echo(answer.decode())
        return
    Console().print(camera_card(_decoded(answer)))


def change(
    camera_id: CameraId,
    url: SearchUrl,
    name: Name = None,
    latitude: Latitude = None,
    longitude: Longitude = None,
    timezone: Zone = None,
    heading: Heading = None,
    lanes: Lanes = None,
    format_: Bound = None,
    clock: Clock = None,
    clock_offset: ClockOffset = None,
    clock_uncertainty: ClockUncertainty = None,
    handling: Handled = None,
    network: Network = None,
    active_from: ActiveFrom = None,
    active_until: ActiveUntil = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Back to the default: {', '.join(UNSETTABLE)}. May be given again."),
    ] = None,
    token_file: TokenFile = None,
) -> None:
    """Change a camera of your agency: what you name changes, the rest stays.

    It counts for reads that arrive a second or so later, without a restart. The change is on the record. How a camera
    proves itself is changed by `rotate-key`.

    **Examples**

        platetrail camera change i70-west-12 --latitude 39.742 --longitude -105.215 --heading 270

        platetrail camera change i70-west-12 --clock offset --clock-offset 3600

        platetrail camera change i70-west-12 --clock trusted    # its offset goes with it

        platetrail camera change i70-west-12 --unset clock --unset clock-offset --unset lanes
    """
    from services.cli.client import Service, read_token

    patch = _given(
        name=name,
        latitude=latitude,
        longitude=longitude,
        timezone=timezone,
        heading_deg=heading,
        lanes=lanes,
        format=format_,
        clock_use=clock,
        clock_offset_s=clock_offset,
        clock_uncertainty_s=clock_uncertainty,
        handling=handling,
        network=network,
        active_from=_moment(active_from),
        active_until=_moment(active_until),
    )
    if not set(unset or ()) <= set(UNSETTABLE):
        raise typer.BadParameter(f"it is one of {', '.join(UNSETTABLE)}", param_hint="--unset")
    taken_back = {MEMBERS.get(one, one) for one in unset or ()}
    if clock not in (None, "offset") and clock_offset is None:
        taken_back.add("clock_offset_s")  # an offset is nothing to a clock that is not corrected, and refused with it
    if taken_back & patch.keys():
        raise typer.BadParameter("a member can't be set and unset at once", param_hint="--unset")
    if not patch and not taken_back:
        raise typer.BadParameter("name what is to change; see --help")
    with Service("search", url, read_token(token_file)) as service:
        answer = service.patch(_path(camera_id), {**patch, **dict.fromkeys(taken_back)})
    changed = _decoded(answer)
    said = f"changed{_entry(changed)}" if changed["receipt"] else "as it was: nothing to change"
    _say(f"Camera {camera_id} is {said}.")
    Console().print(camera_card(changed["camera"]))


def rotate_key(
    camera_id: CameraId,
    url: SearchUrl,
    proof: Annotated[Proof | None, typer.Option(help="From now on it proves itself so; without it, as before.")] = None,
    certificate: Certificate = None,
    device_id: DeviceId = None,
    signing_secret: SigningSecret = None,
    key_file: KeyFile = None,
    token_file: TokenFile = None,
) -> None:
    """Give a camera of your agency a new key, or another way to prove itself. The old key ends within seconds.

    The change is on the record.

    **Examples**

        platetrail camera rotate-key i70-west-12 --key-file i70-west-12.key

        platetrail camera rotate-key gate-3 --proof digest --key-file gate-3.key
    """
    from services.cli.client import Service, read_token

    body = _given(
        proof=proof,
        certificate_sha256=_fingerprint(certificate),
        device_id=device_id,
        signing_secret=_secret(signing_secret),
    )
    with claimed(key_file, KEY_FILE, replace=True) as write:
        with Service("search", url, read_token(token_file)) as service:
            made = _decoded(service.post(f"{_path(camera_id)}/keys", body))
        _hand_over(f"Camera {camera_id} has a new proof, and the old one ends now", made, key_file, write)


def _secret(path: Path | None) -> str | None:
    """Return the secret in a file, which stands in no command line and no list of processes."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise typer.BadParameter("it holds more than ASCII", param_hint="--signing-secret-file") from None


def retire(camera_id: CameraId, url: SearchUrl, token_file: TokenFile = None) -> None:
    """Retire a camera of your agency: its key is refused from then on. What it read stays as long as your rules say.

    **Example**

        platetrail camera retire i70-west-12
    """
    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        done = _decoded(service.post(f"{_path(camera_id)}/retire", {}))
    said = f"is retired{_entry(done)}" if done["receipt"] else "was retired before"
    _say(f"Camera {camera_id} {said}.")


def _get(url: str, token_file: Path | None, path: str) -> bytes:
    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        return service.get(path)


def _path(camera_id: str) -> str:
    return f"/v1/cameras/{quote(camera_id, safe='')}"


def _decoded(answer: bytes) -> dict[str, Any]:
    import msgspec

    return msgspec.json.decode(answer, type=dict[str, Any])


def _entry(answer: dict[str, Any]) -> str:
    """Name the audit entry of what was done."""
    return f" (entry {answer['receipt']['index']})"


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def _given(**members: Any) -> dict[str, Any]:
    """Return the members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def _moment(text: str | None) -> str | None:
    at: datetime | None = None if text is None else moment(text)
    return None if at is None else at.isoformat()


def _fingerprint(certificate: Path | None) -> str | None:
    """Return the SHA-256 (hex) of a certificate in a PEM file. Raises Failure."""
    if certificate is None:
        return None
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(certificate.read_bytes()).fingerprint(SHA256()).hex()
    except (OSError, ValueError) as error:
        raise Failure(f"the certificate cannot be read as PEM ({type(error).__name__})", USAGE) from None


def _hand_over(said: str, made: dict[str, Any], key_file: Path | None, write: Write) -> None:
    """Give a key out, once: into a file, or on standard output with everything else on standard error."""
    said += _entry(made)
    if made["key"] is None:
        _say(f"{said}. It proves itself by its {made['camera']['proof']}: there is no key.")
        return
    if key_file is None:
        _say(f"{said}. Its key is shown this once:")
    write(f"{made['key']}\n")
    if key_file is not None:
        _say(f"{said}; its key is in {key_file}.")
