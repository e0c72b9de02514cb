"""`platetrail deadletters`: what could not be used, and putting it back once its cause is mended."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.deadletters import Reason, Stage
from services.cli.failures import NOT_SO
from services.cli.options import DeadlettersUrl, TokenFile, moment

QUERY: Final = "/v1/deadletters/query"
REVEAL: Final = "/v1/deadletters/reveal"
REPLAY: Final = "/v1/deadletters/replay"

RESULTS: Final = {
    "replayed": "put back on the stream",
    "nothing_kept": "nothing of it was kept: there is nothing to put back",
    "past_retention": "older than its owner may keep it: never put back",
    "needs_force": "the stream has another message of the same id; --force puts it back all the same",
    "unknown_camera": "the registry still has no such camera",
    "wrong_owner": "the camera still belongs to another agency",
    "retired_camera": "the camera is retired: its reads stay out",
    "ephemeral": "the camera's reads may not be kept: never put back",
    "clock_future": "still ahead by the camera's clock: mend its clock rule first (camera change --clock …)",
    "refused_by_broker": "the broker refused it",
}

ByReason = Annotated[Reason | None, typer.Option(help="Only letters set aside for this reason.")]
ByStage = Annotated[Stage | None, typer.Option(help="Only letters of this process.")]
ByCamera = Annotated[str | None, typer.Option(help="Only letters of this camera.")]
Since = Annotated[str | None, typer.Option(help="Only what was written since: RFC 3339 with offset, or 36h, 7d ago.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came, one line a page.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    says = "See what could not be used, and put it back once its cause is mended."
    group = typer.Typer(help=says, no_args_is_help=True, rich_markup_mode="markdown")
    group.command("list")(show_all)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, name="deadletters", rich_help_panel="Camera operators")


def show_all(
    url: DeadlettersUrl,
    reason: ByReason = None,
    camera: ByCamera = None,
    stage: ByStage = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Letters a page.")] = 50,
    every_page: Annotated[bool, typer.Option("--all", help="Every page.")] = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
) -> None:
    """List your agency's dead letters, the newest first. No plate is shown.

    Needs a token with the role camera_operator. A letter stays for a week, or as long as its owner may keep the read.

    **Examples**

        platetrail deadletters list

        platetrail deadletters list --reason clock_future --camera i70-west-12 --since 24h
    """
    wanted = _given(reason=reason, camera_id=camera, stage=stage, since=_moment(since), limit=limit)
    pages = list(_pages(url, token_file, QUERY, wanted, every_page))
    if as_json:
        _print_json(pages)
        return
    decoded = [_decoded(page) for page in pages]
    Console().print(letters_table(letter for page in decoded for letter in page["letters"]))
    _tell_rest(decoded[-1], "list")


def show(
    letter_id: Annotated[uuid.UUID, typer.Argument(help="The letter's id.")],
    url: DeadlettersUrl,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show the read, plate and all. You are asked why: it goes on the record.")
    ] = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
) -> None:
    """Show one dead letter of your agency; what was read only with --reveal.

    Looking into a letter is looking at a plate: who did, when, at which letter and why is in the audit log before it is
    shown. The reason is asked for, or read from standard input.

    **Examples**

        platetrail deadletters show 6d1f0c56-1f0e-5d0c-9b53-3a1d4b1f0c11

        platetrail deadletters show 6d1f0c56-1f0e-5d0c-9b53-3a1d4b1f0c11 --reveal
    """
    from services.cli.client import Service, read_token
    from services.cli.failures import REFUSED, Failure
    from services.cli.search import secret

    token = read_token(token_file)
    asked: tuple[str, dict[str, Any]] = QUERY, {"letter_ids": [str(letter_id)], "limit": 1}
    if reveal:
        asked = REVEAL, {"letter_id": str(letter_id), "note": secret("Reason", None)}
    with Service("dead-letter", url, token) as service:
        answer = service.post(*asked)
    found = _decoded(answer)
    if not reveal and not found["letters"]:
        raise Failure("your agency has no such dead letter, or not any more", REFUSED)
    if as_json:
        typer.echo(answer.decode())
        return
    letter = found["letter"] if reveal else found["letters"][0]
    Console().print(letter_card(letter, found.get("detection")))
    if reveal:
        Console(stderr=True).print(f"This look is entry {found['entry']} of the audit log.", style="dim")


def replay(
    url: DeadlettersUrl,
    letter_id: Annotated[
        list[uuid.UUID] | None, typer.Argument(help="Letters to put back; or name a --reason.")
    ] = None,
    reason: ByReason = None,
    camera: ByCamera = None,
    stage: ByStage = None,
    since: Since = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each; put nothing back.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also those of which the stream has another message of the same id.")
    ] = False,
    note: Annotated[str | None, typer.Option(metavar="-", help="`-` asks for what an auditor should know.")] = None,
    as_json: AsJson = False,
    token_file: TokenFile = None,
) -> None:
    """Put dead letters back on the stream, after what was wrong was mended.

    Each is judged by the registry and the owners' rules of now: a clock rule that was set since counts. It keeps its
    id, so that doing it twice makes one sighting. What is older than its owner may keep is never put back. It is in the
    audit log first.

    Exit code 1 if some were not put back.

    **Examples**

        platetrail deadletters replay --reason clock_future --camera i70-west-12 --dry-run

        platetrail deadletters replay --reason unknown_camera --since 24h

        platetrail deadletters replay 6d1f0c56-1f0e-5d0c-9b53-3a1d4b1f0c11
    """
    from services.cli.search import secret

    if not letter_id and reason is None:
        raise typer.BadParameter("name letters, or a --reason")
    if note not in (None, "-"):
        raise typer.BadParameter("this does not belong on a command line; give -", param_hint="--note")
    wanted = _given(
        letter_ids=[str(one) for one in letter_id] if letter_id else None,
        reason=reason,
        camera_id=camera,
        stage=stage,
        since=_moment(since),
        limit=500,
        dry_run=dry_run,
        force=force,
        note=secret("Note", None) if note else None,
    )
    pages = list(_pages(url, token_file, REPLAY, wanted, every=True))
    decoded = [_decoded(page) for page in pages]
    counts = sum((Counter(page["counts"]) for page in decoded), Counter[str]())
    if as_json:
        _print_json(pages)
    else:
        Console().print(counts_table(counts, dry_run=dry_run))
        _tell_rest(decoded[-1], "replay")
    if counts.total() != counts["replayed"]:
        raise typer.Exit(NOT_SO)


def letters_table(letters: Iterable[Mapping[str, Any]]) -> Table:
    """Return letters as a table, two lines each: in 80 columns the letters' ids are whole, to be copied."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("letter, camera", overflow="fold")
    table.add_column("set aside, UTC", no_wrap=True)
    table.add_column("reason, by", no_wrap=True)
    for one in letters:
        back = ", put back" if one["replayed_as"] else ""
        table.add_row(
            f"{one['letter_id']}\n{one['camera_id'] or '-'}",
            f"{one['at'][:10]}\n{one['at'][11:19]}",
            f"{one['reason']}\n{one['stage']}{back}",
        )
    return table


def letter_card(letter: Mapping[str, Any], detection: Mapping[str, Any] | None = None) -> Table:
    """Return one letter, a line a member; `detection` is there if it was revealed."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    held = letter["detection"]
    rows = {name: value for name, value in letter.items() if name != "detection"}
    if held is not None:
        rows |= {**held, "has_plate": "yes; --reveal shows it" if held["has_plate"] and detection is None else None}
    if detection is not None:
        rows |= {name: _words(value) for name, value in detection.items() if name != "candidates"}
        rows["candidates"] = ", ".join(one["plate"] for one in detection["candidates"]) or None
    for name, value in rows.items():
        if value is not None:
            table.add_row(name.replace("_", " "), Text(str(value)))
    return table


def counts_table(counts: Mapping[str, int], *, dry_run: bool) -> Table:
    """Return what became, or would become, of letters."""
    title = "what would become of them" if dry_run else "what became of them"
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("letters", justify="right")
    table.add_column(title)
    for result, number in sorted(counts.items(), key=lambda one: -one[1]):
        table.add_row(f"{number:,}", RESULTS.get(result, result))
    return table


def _words(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if "value" in value:
        sure = value.get("confidence")
        return value["value"] if sure is None else f"{value['value']} ({sure:.0%})"
    return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None)


def _pages(url: str, token_file: Any, path: str, wanted: dict[str, Any], every: bool) -> Iterator[bytes]:
    from services.cli.client import Service, read_token

    with Service("dead-letter", url, read_token(token_file)) as service:
        while True:
            page = service.post(path, wanted)
            yield page
            following = _decoded(page)["next"]
            if not every or following is None:
                return
            wanted = {**wanted, "before": following}


def _tell_rest(page: Mapping[str, Any], command: str) -> None:
    console = Console(stderr=True, soft_wrap=True)
    if page["next"] is not None:
        console.print(f"More with deadletters {command} --all.", style="dim")
    if page["cut"]:
        console.print(
            "Only the newest were looked at: there are older ones, which --since can't reach.", style="yellow"
        )


def _print_json(pages: Iterable[bytes]) -> None:
    for page in pages:
        typer.echo(page.decode())


def _decoded(page: bytes) -> dict[str, Any]:
    import msgspec

    return msgspec.json.decode(page, type=dict[str, Any])


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _moment(text: str | None) -> str | None:
    return None if text is None else moment(text).isoformat()
