"""Cameras in the terminal: a list, one in full, and what is wrong with a table of them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

LABELS: Final = {
    "camera_id": "camera",
    "owner": "agency",
    "name": "name",
    "position": "position",
    "heading_deg": "looks, ° from north",
    "timezone": "time zone",
    "lanes": "lanes",
    "format": "bound to format",
    "clock": "clock",
    "handling": "handling",
    "network": "network",
    "proof": "proves itself by",
    "key_prefix": "key begins",
    "certificate_sha256": "certificate",
    "device_id": "its vendor's id",
    "active": "in use",
    "period": "active period",
    "registered_at": "registered",
    "revision": "revision",
}
"""What is shown of one camera, in this order."""

KEY_STARTS: Final = {"key": "ptk_", "digest": "ptk_", "url": "ptu_"}


def cameras_table(cameras: Iterable[Mapping[str, Any]]) -> Table:
    """Return cameras as a table, two lines each: in 80 columns an id of up to 39 characters is whole, to be copied."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("camera, name", overflow="fold")
    table.add_column("position, time zone", overflow="fold", max_width=19)
    table.add_column("clock, in use", no_wrap=True)
    for one in cameras:
        table.add_row(
            Text.assemble(one["camera_id"], "\n", (one["name"], "dim")),
            Text(f"{_position(one)}\n{one['timezone']}"),
            f"{one['clock_use']}, ±{one['clock_uncertainty_s']:g} s\n{_in_use(one)}",
        )
    return table


def camera_card(camera: Mapping[str, Any]) -> Table:
    """Return all that its agency sees of one camera, a line each; what is not set has no line."""
    start = KEY_STARTS.get(camera["proof"])
    values = {
        **camera,
        "position": _position(camera, digits=6),
        "clock": _clock(camera),
        "format": camera["format"] or "any",
        "key_prefix": f"{start}{camera['key_prefix']}_…" if start else None,
        "active": _in_use(camera),
        "period": _period(camera),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, label in LABELS.items():
        if values[name] is not None:
            table.add_row(label, Text(str(values[name])))
    return table


def flaws_table(flaws: Iterable[Mapping[str, Any]]) -> Table:
    """Return what is wrong with a table of cameras, row by row."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("row", justify="right", style="bold")
    table.add_column("column", no_wrap=True)
    table.add_column("what would be right")
    for one in flaws:
        table.add_row(str(one.get("row", "")), str(one.get("column", "")), Text(str(one.get("detail", ""))))
    return table


def _position(camera: Mapping[str, Any], digits: int = 4) -> str:
    return f"{camera['latitude']:.{digits}f}, {camera['longitude']:.{digits}f}"


def _clock(camera: Mapping[str, Any]) -> str:
    offset = f" {camera['clock_offset_s']:+g} s" if camera["clock_use"] == "offset" else ""
    return f"{camera['clock_use']}{offset}, ±{camera['clock_uncertainty_s']:g} s"


def _in_use(camera: Mapping[str, Any]) -> str:
    return "yes" if camera["active"] else "retired"


def _period(camera: Mapping[str, Any]) -> str | None:
    since, until = camera["active_from"], camera["active_until"]
    return f"{since or '…'} to {until or '…'}" if since or until else None
