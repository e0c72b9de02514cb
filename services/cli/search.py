"""`platetrail search`: ask where a vehicle was."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from schemas.queries import MAX_LIMIT, PURPOSES
from services.cli.failures import INTERRUPTED, USAGE, Failure
from services.cli.options import SearchUrl, TokenFile, moment, write_private

GEOJSON: Final = "application/geo+json"


class PurposeName(StrEnum):
    """The purposes, as the command line takes them."""

    STOLEN_VEHICLE = "stolen_vehicle"
    MISSING_PERSON = "missing_person"
    WANTED_PERSON = "wanted_person"
    VIOLENT_CRIME = "violent_crime"
    PROPERTY_CRIME = "property_crime"
    TRAFFIC_CRIME = "traffic_crime"
    PUBLIC_SAFETY_EMERGENCY = "public_safety_emergency"
    INTERNAL_AUDIT = "internal_audit"


class AuthorityName(StrEnum):
    """The kinds of legal authority."""

    NONE = "none"
    CONSENT = "consent"
    WARRANT = "warrant"
    COURT_ORDER = "court_order"
    EXIGENT = "exigent"


class MatchName(StrEnum):
    """How a read's plate must be like the one that is asked for."""

    EXACT = "exact"
    LOOKALIKE = "lookalike"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Ask where a vehicle was.", no_args_is_help=True, rich_markup_mode="markdown")
    group.command("trajectory", help=_help())(trajectory)
    app.add_typer(group, name="search", rich_help_panel="Investigators")


def _help() -> str:
    purposes = "\n".join(f"* `{code}`: {says}" for code, says in PURPOSES.items())
    return f"""Ask for a vehicle's trajectory, as a table, a timeline and a small map.

The question, with your name, purpose and case, is on the record before the index is read. The answer is an **unverified
lead**: check the vehicle before you act on it.

**Plate and case number are asked for**, or read from standard input as its first and second line: on a command line
they would stay in the shell's history and be seen by every user of the machine. `--reference -` and `--note -` ask for
the warrant's number and for a note, or read them as the lines that follow.

**Examples**

    platetrail search trajectory --purpose stolen_vehicle --authority none

    platetrail search trajectory --purpose wanted_person --match lookalike \\
        --authority warrant --reference - \\
        --from 2026-07-01T00:00:00-06:00 --to 2026-07-02T00:00:00-06:00

    printf '%s\\n' "$PLATE" "$CASE" | platetrail search trajectory --plate - --json \\
        --purpose missing_person --authority exigent

**Purposes**

{purposes}
"""


def trajectory(
    purpose: Annotated[PurposeName, typer.Option(help="Why you ask; the list is below the examples.")],
    authority: Annotated[AuthorityName, typer.Option(help="The legal authority you ask under.")],
    url: SearchUrl,
    plate: Annotated[
        str | None, typer.Option(metavar="-", help="`-` reads it from standard input; without it you are asked.")
    ] = None,
    match: Annotated[
        MatchName, typer.Option(help="`lookalike` also finds reads with 0 for O, 8 for B and their like.")
    ] = MatchName.EXACT,
    region: Annotated[
        str | None, typer.Option(help="ISO 3166-2, such as US-CO. Reads of unknown region stay, with a doubt.")
    ] = None,
    since: Annotated[
        str, typer.Option("--from", help="Start, included: RFC 3339 with offset, or 90m, 36h, 7d ago.")
    ] = "7d",
    until: Annotated[str, typer.Option("--to", help="End, not included; the same forms, or `now`.")] = "now",
    case: Annotated[
        str | None, typer.Option(metavar="-", help="`-` reads it from standard input; without it you are asked.")
    ] = None,
    offence: Annotated[str | None, typer.Option(help="The offence's code or short name.")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="-", help="`-` asks for the warrant's or order's number.")
    ] = None,
    note: Annotated[
        str | None, typer.Option(metavar="-", help="`-` asks for what an auditor should know; not a placeholder.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LIMIT, help="Reads a page: a point may be made of several.")
    ] = MAX_LIMIT,
    every_page: Annotated[bool, typer.Option("--all", help="Ask for every page; each is on the record.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came, one line a page.")] = False,
    as_geojson: Annotated[bool, typer.Option("--geojson", help="Print it as GeoJSON (RFC 7946).")] = False,
    receipt: Annotated[
        Path | None,
        typer.Option(help="Keep the receipt (with --all, of the first page) in a file, for `audit verify --against`."),
    ] = None,
    token_file: TokenFile = None,
) -> None:
    """Ask for a vehicle's trajectory."""
    from services.cli.client import Service, read_token

    for name, value in (("plate", plate), ("case", case), ("reference", reference), ("note", note)):
        if value not in (None, "-"):
            raise typer.BadParameter("this does not belong on a command line; give -", param_hint=f"--{name}")
    if as_json and as_geojson:
        raise typer.BadParameter("choose one of --json and --geojson")
    token = read_token(token_file)
    window = {"from": moment(since).isoformat(), "to": moment(until).isoformat()}
    asked = secret("Plate", plate), secret("Case number", case)
    legal = _given(kind=authority.value, reference=reference and secret("Reference", None))
    noted = note and secret("Note", None)
    why = _given(code=purpose.value, case_number=asked[1], authority=legal, offence=offence, note=noted)
    body = _given(plate=asked[0], match=match.value, region=region, window=window, limit=limit, purpose=why)
    with Service("search", url, token) as service:
        pages = _pages(service, body, GEOJSON if as_geojson else "application/json", every_page)
        first = next(pages)
        if receipt is not None:
            _keep_receipt(first, receipt)  # the first page's is the intent's
        if as_json or as_geojson:
            for page in itertools.chain((first,), pages):
                typer.echo(page.decode())
        else:
            _show([first, *pages])


def _given(**members: Any) -> dict[str, Any]:
    """Return the members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def secret(name: str, given: str | None) -> str:
    """Return what is asked for at a terminal, or with `-` the next line of standard input. Raises Failure."""
    if given is None and sys.stdin.isatty():
        try:
            text: str = typer.prompt(name, err=True)
        except typer.Abort:
            raise typer.Exit(INTERRUPTED) from None
    else:
        text = sys.stdin.readline()
    if not text.strip():
        raise Failure(f"no {name.lower()} was given: it is read from standard input, a line each", USAGE)
    return text.strip()


def _pages(service: Any, body: dict[str, Any], accept: str, every: bool) -> Iterator[bytes]:
    import msgspec

    while True:
        page: bytes = service.post("/v1/trajectories", body, accept=accept)
        yield page
        following = msgspec.json.decode(page).get("next")
        if not every or not following:
            return
        body = {**body, "cursor": following}


def _show(pages: Sequence[bytes]) -> None:
    """Print pages as one trajectory."""
    import msgspec

    from schemas.queries import Answer
    from services.cli.show import joined
    from services.cli.show import trajectory as shown

    answer = joined([msgspec.json.decode(page, type=Answer) for page in pages])
    console = Console()
    console.print(shown(answer))
    if answer.next is not None:
        console.print("More: ask again with --all.", style="dim")


def _keep_receipt(page: bytes, file: Path) -> None:
    import msgspec

    try:
        write_private(file, msgspec.json.encode(msgspec.json.decode(page)["receipt"]) + b"\n")
    except OSError as error:
        raise Failure(f"the receipt cannot be written ({type(error).__name__})", USAGE) from None
