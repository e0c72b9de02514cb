"""`platetrail camera health`: how the cameras of one's agency do."""

from collections.abc import Iterable
from typing import Annotated, Final

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from search.health import REPORTED_WITHIN, CameraHealth, HealthList, Skew, span
from services.cli.options import SearchUrl, TokenFile

STYLES: Final = {"ok": "green", "silent": "bold red", "unknown": "yellow", "never_seen": "yellow"}


def add_to(group: typer.Typer) -> None:
    """Add the command."""
    group.command("health")(health)


def health(
    url: SearchUrl,
    silent: Annotated[bool, typer.Option("--silent", help="Show those alone that are silent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
    token_file: TokenFile = None,
) -> None:
    """Show how the cameras of your agency do: last seen, reads, rejects, confidence, clock; and what to look at.

    A camera is silent when it has read nothing for three times as long as is usual for it at this hour. Needs a token
    with the role camera_operator.

    **Examples**

        platetrail camera health

        platetrail camera health --silent --json
    """
    import msgspec

    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        answer = service.get("/v1/cameras/health", {"silent": "true"} if silent else None)
    if as_json:
        typer.echo(answer.decode())
        return
    found = msgspec.json.decode(answer, type=HealthList)
    console = Console()
    if found.reported_at is None:
        console.print("No gateway has reported on cameras yet.", style="yellow")
    if not found.cameras:
        console.print(why_none(found, silent=silent))
        return
    console.print(health_table(found.cameras))
    console.print(*look_at(found.cameras), sep="\n", end="")


def why_none(found: HealthList, *, silent: bool) -> str:
    """Return what it means that no camera is shown, of all or of those that are silent."""
    if not silent:
        return "Your agency has no camera."
    if found.reported_at is None or found.at - found.reported_at > REPORTED_WITHIN:
        return "Whether a camera is silent is not known: no gateway has reported for a while."
    return "No camera is silent."


def health_table(cameras: Iterable[CameraHealth]) -> Table:
    """Return cameras as a table, two lines each: in 80 columns an id of up to 39 characters is whole, to be copied."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("camera\nstatus, last read", overflow="fold")
    for heading in ("last hour\nlast day", "rejected\nconfidence", "clock"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in cameras:
        read = "" if one.rhythm is None else f", {span(one.rhythm.quiet_s)} ago"
        table.add_row(
            Text.assemble(
                f"{one.camera_id}\n", (one.status.replace("_", " "), STYLES.get(one.status, "dim")), (read, "dim")
            ),
            f"{one.reads_last_hour:,}\n{one.reads_last_day:,}",
            f"{_percent(one.reject_rate)}\n{_percent(one.mean_confidence)}",
            _clock(one.skew),
        )
    return table


def look_at(cameras: Iterable[CameraHealth]) -> list[RenderableType]:
    """Return a line for each camera that is silent and for each flag."""
    lines: list[RenderableType] = []
    for one in cameras:
        if one.status in ("silent", "unknown"):
            lines.append(_line(one.camera_id, one.status, one.detail))
        for flagged in one.flags:
            setting = (
                "" if flagged.set is None else " " + ", ".join(f"{k} = {_plain(v)}" for k, v in flagged.set.items())
            )
            lines.append(_line(one.camera_id, flagged.flag, flagged.detail + setting))
    return lines


def _line(camera_id: str, what: str, detail: str) -> Text:
    return Text.assemble((camera_id, "bold"), "  ", (what.replace("_", " "), "yellow"), "  ", detail, "\n")


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"


def _clock(skew: Skew | None) -> str:
    if skew is None:
        return "-"
    sign = "-" if skew.seconds < 0 else "+"
    return f"{sign}{span(abs(skew.seconds))}\n±{span(skew.spread_s)}"
