"""`platetrail camera`: register cameras and list them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from schemas.cameras import DEFAULT_CLOCK_UNCERTAINTY_S
from services.cli.options import SearchUrl, TokenFile, write_private


class ClockName(StrEnum):
    """How far a camera's clock is believed."""

    TRUSTED = "trusted"
    OFFSET = "offset"
    ARRIVAL = "arrival"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Register cameras, list them.", no_args_is_help=True, rich_markup_mode="markdown")
    group.command("add")(add)
    group.command("list")(show)
    group.command("retire")(retire)
    app.add_typer(group, name="camera", rich_help_panel="Camera operators")


def add(
    camera_id: Annotated[str, typer.Argument(help="Lower case letters, digits and hyphens; yours to choose.")],
    name: Annotated[str, typer.Option(help="What people call the place.")],
    latitude: Annotated[float, typer.Option(min=-90, max=90, help="Degrees, WGS 84.")],
    longitude: Annotated[float, typer.Option(min=-180, max=180, help="Degrees, WGS 84.")],
    timezone: Annotated[str, typer.Option(help="IANA name, such as America/Denver.")],
    url: SearchUrl,
    heading: Annotated[float | None, typer.Option(min=0, max=360, help="Degrees clockwise from north.")] = None,
    clock: Annotated[
        ClockName, typer.Option(help="Believe its times; correct them by --clock-offset; or use times of arrival.")
    ] = ClockName.TRUSTED,
    clock_offset: Annotated[float, typer.Option(help="Seconds to add to its times (with --clock offset).")] = 0.0,
    clock_uncertainty: Annotated[
        float, typer.Option(min=0, help="Seconds by which its times may be wrong either way.")
    ] = DEFAULT_CLOCK_UNCERTAINTY_S,
    key_file: Annotated[
        Path | None, typer.Option(help="Write the key to this file (0600) instead of showing it.")
    ] = None,
    token_file: TokenFile = None,
) -> None:
    """Register a camera of your agency and show its key, once.

    The key is what the camera sends as `Authorization: Bearer …`; Platetrail keeps only its hash. Needs a token with
    the role camera_operator. The change is on the record.

    **Example**

        platetrail camera add i70-west-12 --name "I-70 west, km 12" --latitude 39.74 --longitude -105.21 \\
            --timezone America/Denver --key-file i70-west-12.key
    """
    from services.cli.client import Service, read_token

    body: dict[str, Any] = {
        "camera_id": camera_id,
        "name": name,
        "latitude": latitude,
        "longitude": longitude,
        "timezone": timezone,
        "clock_use": clock.value,
        "clock_offset_s": clock_offset,
        "clock_uncertainty_s": clock_uncertainty,
    }
    if heading is not None:
        body["heading_deg"] = heading
    with Service("search", url, read_token(token_file)) as service:
        key = register(service, body)
    console = Console(stderr=True, soft_wrap=True)
    if key_file is None:
        console.print(f"Camera {camera_id} is registered. Its key is shown this once:", markup=False)
        typer.echo(key)
        return
    write_private(key_file, key.encode() + b"\n")
    console.print(f"Camera {camera_id} is registered; its key is in {key_file}.", markup=False)


def register(service: Any, body: dict[str, Any]) -> str:
    """Register a camera and return its key. Raises Failure."""
    import msgspec

    key: str = msgspec.json.decode(service.post("/v1/cameras", body))["key"]
    return key


def retire(
    camera_id: Annotated[str, typer.Argument(help="The camera's id.")],
    url: SearchUrl,
    token_file: TokenFile = None,
) -> None:
    """Retire a camera of your agency: its key is refused from then on. What it read stays as long as your rules say.

    **Example**

        platetrail camera retire i70-west-12
    """
    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        service.post(f"/v1/cameras/{quote(camera_id, safe='')}/retire", {})
    Console(stderr=True, soft_wrap=True).print(f"Camera {camera_id} is retired.", markup=False)


def show(
    url: SearchUrl,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
    token_file: TokenFile = None,
) -> None:
    """List the cameras of your agency. Needs a token with the role camera_operator.

    **Example**

        platetrail camera list --json
    """
    import msgspec

    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        answer = service.get("/v1/cameras")
    if as_json:
        typer.echo(answer.decode())
        return
    Console().print(cameras_table(msgspec.json.decode(answer)["cameras"]))


def cameras_table(cameras: Iterable[Mapping[str, Any]]) -> Table:
    """Return cameras as a table; the ids are whole, to be copied."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("camera", no_wrap=True)
    for heading in ("name", "position", "time zone", "clock", "active"):
        table.add_column(heading, overflow="fold")
    for one in cameras:
        position = f"{one['latitude']:.4f}, {one['longitude']:.4f}"
        clock = f"{one['clock_use']}, ±{one['clock_uncertainty_s']:g} s"
        table.add_row(one["camera_id"], one["name"], position, one["timezone"], clock, "yes" if one["active"] else "no")
    return table
