"""Options that several commands share."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File that holds your token; without it, PLATETRAIL_TOKEN is used."),
]
SearchUrl = Annotated[
    str,
    typer.Option("--url", envvar="PLATETRAIL_SEARCH_URL", show_envvar=True, help="The search service's base URL."),
]
AuditingUrl = Annotated[
    str,
    typer.Option("--url", envvar="PLATETRAIL_AUDITING_URL", show_envvar=True, help="The auditing service's base URL."),
]
DeadlettersUrl = Annotated[
    str,
    typer.Option(
        "--url", envvar="PLATETRAIL_DEADLETTERS_URL", show_envvar=True, help="The dead-letter service's base URL."
    ),
]
GatewayUrl = Annotated[
    str,
    typer.Option("--url", envvar="PLATETRAIL_GATEWAY_URL", show_envvar=True, help="The gateway's base URL."),
]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the UTC time that an option names: RFC 3339 with an offset, `now`, or `90m`, `36h`, `7d` (before now).

    Raises typer.BadParameter for anything else, a time without an offset too: it would mean another moment elsewhere.
    """
    now = now or datetime.now(UTC)
    if text == "now":
        return now
    if found := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[found[2]]: float(found[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a time is RFC 3339 with an offset, `now`, or such as 90m, 36h, 7d") from None
    if at.tzinfo is None:
        raise typer.BadParameter("a time needs its offset, such as 2026-07-01T08:00:00-06:00 or …Z")
    return at.astimezone(UTC)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; one that exists is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
