"""`platetrail audit`: read the log, and verify it."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.failures import NOT_SO, UNAVAILABLE, USAGE, Failure
from services.cli.options import AuditingUrl, TokenFile, moment

if TYPE_CHECKING:
    from schemas.queries import Receipt
    from search.audit.verify import Report
    from services.cli.client import Service

DATABASE_VARIABLE: Final = "PLATETRAIL_AUDITING_DATABASE_URL"
PATH: Final = "/v1/audit/entries"
HASHES: Final = ("decisions", "result")
"""Committed values that mean nothing to the eye."""
UNSAID: Final = ("scope", "type")
QUESTION_FIRST: Final = ("plate", "match", "region")
"""Members of a question that come first when it is shown, and members that are not shown."""


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Review who asked, and check the log.", no_args_is_help=True, rich_markup_mode="markdown")
    group.command("list")(show)
    group.command("verify")(verify)
    app.add_typer(group, name="audit", rich_help_panel="Auditors")


def verify(
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A receipt, an answer with one, or lines of these, that somebody kept; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check every entry of the log against the hashes in its head, and against older receipts.

    Names missing, altered and swapped entries, a head that does not match, and questions without an end. A tail that
    was cut off, or a rewrite of leaf, hash and head together, shows only against a receipt from before: keep some
    elsewhere.

    Exit code 1 if anything is wrong.

    Reads PLATETRAIL_AUDITING_DATABASE_URL, of the role platetrail_auditing.

    **Examples**

        platetrail audit verify

        platetrail audit verify --against receipt.json
    """
    from search.audit.adapters.reader import verify_database
    from search.audit.errors import LogUnavailable
    from search.audit.receipts import receipts_in

    url = os.environ.get(DATABASE_VARIABLE)
    if not url:
        raise Failure(f"set {DATABASE_VARIABLE}, of the role platetrail_auditing", USAGE)
    receipts: list[Receipt] = []
    try:
        for file in against or []:
            receipts += receipts_in(file.read_bytes())
        with Console(stderr=True).status("verifying"):
            report = asyncio.run(verify_database(url, receipts))
    except OSError as error:
        raise Failure(f"a receipt's file cannot be read ({type(error).__name__})", USAGE) from None
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    except LogUnavailable:
        raise Failure("the database does not answer, or refuses this role", UNAVAILABLE) from None
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode({**msgspec.to_builtins(report), "root": report.root and report.root.hex()}))
    else:
        show_report(Console(), report, len(receipts))
    if report.findings:
        raise typer.Exit(NOT_SO)


def show_report(console: Console, report: "Report", receipts: int) -> None:
    """Print what a verification found."""
    kinds = ", ".join(f"{many} {kind}" for kind, many in sorted(report.kinds.items()))
    console.print(Text(f"  {report.size:,} entries: {kinds}"))
    if report.root is not None:
        console.print(Text(f"  root rebuilt from the leaves: {report.root.hex()}", style="dim"))
    for one in report.findings:
        where = f"entry {one.first}" if one.first == one.last else f"entries {one.first} to {one.last}"
        console.print(Text.assemble(("  ✗ ", "bold red"), (f"{one.problem}: ", "bold red"), f"{where}: {one.detail}"))
    if report.open:
        console.print(Text(f"  still open: {', '.join(map(str, report.open))}", style="yellow"))
    for agency, many in report.abandoned.items():
        console.print(Text(f"  abandoned (what became of the answer is not known): {agency} {many}", style="yellow"))
    if not report.findings:
        seen = f", and agrees with {receipts} older {'receipt' if receipts == 1 else 'receipts'}" if receipts else ""
        console.print(Text.assemble(("  ✓ ", "bold green"), f"The log is whole{seen}."))


def show(
    url: AuditingUrl,
    user: Annotated[str | None, typer.Option(metavar="-", help="`-` asks for a user: only what they did.")] = None,
    case: Annotated[
        str | None, typer.Option(metavar="-", help="`-` asks for a case: only what was done for it.")
    ] = None,
    agency: Annotated[str | None, typer.Option(help="Only what was done for this agency.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only questions of this purpose, such as stolen_vehicle.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind, such as intent.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Stored since: RFC 3339 with offset, or 36h, 7d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Stored before then.")] = None,
    after: Annotated[int, typer.Option(min=-1, help="Go on after this entry.")] = -1,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Entries a page.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
    token_file: TokenFile = None,
) -> None:
    """Read the log, oldest entry first. Needs a token with the role auditor.

    Reading is itself an entry. Users and cases are asked for, or read from standard input (the user's line first),
    since a command line is seen by others.

    **Examples**

        platetrail audit list --from 24h --kind intent

        platetrail audit list --user - --purpose stolen_vehicle
    """
    from services.cli.client import Service, read_token
    from services.cli.search import secret

    wanted: dict[str, Any] = {"after": after, "limit": limit}
    for name, value in (("agency", agency), ("purpose", purpose), ("kind", kind)):
        wanted |= {name: value} if value else {}
    for name, text in (("from", since), ("to", until)):
        wanted |= {name: moment(text).isoformat()} if text else {}
    token = read_token(token_file)
    for name, asked in (("user", user), ("case", case)):
        if asked not in (None, "-"):
            raise typer.BadParameter("a user or case does not belong on a command line; give -", param_hint=f"--{name}")
        wanted |= {name: secret(name.capitalize(), None)} if asked else {}
    with Service("auditing", url, token) as service:
        answer = query(service, wanted)
    if as_json:
        typer.echo(answer.decode())
        return
    page = _decoded(answer)
    Console().print(entries_table(page["entries"]))
    more = f"; more with --after {page['next']}" if page["next"] is not None else ""
    Console(stderr=True).print(f"This reading is entry {page['read']}{more}.", style="dim")


def query(service: "Service", wanted: Mapping[str, Any]) -> bytes:
    """Return a page of the log. What may not stand in a URL goes into a body. Raises Failure."""
    if wanted.keys() & {"user", "case"}:
        return service.post(f"{PATH}/query", wanted)
    return service.get(PATH, wanted)


def fetch(service: "Service", wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a page of the log. Raises Failure."""
    entries: list[dict[str, Any]] = _decoded(query(service, wanted))["entries"]
    return entries


def _decoded(answer: bytes) -> dict[str, Any]:
    import msgspec

    return msgspec.json.decode(answer, type=dict[str, Any])


def entries_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Return entries as a table: what the leaf says in clear, and what it only commits to."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("entry", justify="right", style="bold cyan")
    table.add_column("kind", no_wrap=True)
    table.add_column("stored, UTC", no_wrap=True)
    table.add_column("in clear, in the leaf")
    table.add_column("committed to, opened for auditors")
    for one in entries:
        end = one.get("end")
        ended = f"\n→ {end['index']} {end['kind']}" if end else ""
        table.add_row(
            str(one["index"]),
            Text.assemble((one["kind"], "bold"), (ended, "dim")),
            f"{one['at'][:10]}\n{one['at'][11:23]}",
            _pairs(one["public"], ("v", "at", "policy")),
            Text("ALTERED", "red") if one["secrets"] == "altered" else _pairs(one["disclosures"], HASHES),
        )
    return table


def _pairs(values: Mapping[str, Any], without: tuple[str, ...]) -> Text:
    """Return members of an object, a line each; what has many members is counted, not listed."""
    text = Text()
    for name, value in values.items():
        if name in without or value is None:
            continue
        if isinstance(value, Mapping):
            members = sorted(value.items(), key=lambda one: (*QUESTION_FIRST, one[0]).index(one[0]))
            shown = ", ".join(f"{key} {item}" for key, item in members if key not in UNSAID and item is not None)
        elif isinstance(value, list):
            shown = f"{len(value)} passes" if len(value) > 3 else ", ".join(map(str, value))
        else:
            shown = str(value)
        text.append(f"{name.replace('_', ' ')} ", style="dim").append(f"{shown}\n")
    text.right_crop(1)
    return text
