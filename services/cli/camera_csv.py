"""`platetrail camera import` and `export`: many cameras at once, as CSV."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from services.cli.camera_tables import flaws_table
from services.cli.failures import USAGE, Failure
from services.cli.options import SearchUrl, TokenFile
from services.cli.secret_file import claimed

CSV: Final = "text/csv"
IMPORT: Final = "/v1/cameras/import"


def add_to(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("import")(import_)
    group.command("export")(export)


def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV in UTF-8; its first row names the columns.")
    ],
    url: SearchUrl,
    keys: Annotated[
        Path | None, typer.Option(help="New file (0600) for the cameras' keys, which are given out this once.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is wrong with the table; register nothing.")] = False,
    token_file: TokenFile = None,
) -> None:
    """Register many cameras of your agency: all rows of a table (up to 1,000), or none.

    The columns are those of docs/cameras.md; camera_id, name, latitude, longitude and timezone are needed. What is
    wrong is told by row (the columns' names are row 1) and column, all at once. Each camera is an entry in the log.
    Should the answer get lost on its way, look with `camera list`, and give new keys with `camera rotate-key`.

    **Examples**

        platetrail camera import cameras.csv --check

        platetrail camera import cameras.csv --keys keys.csv
    """
    from services.cli.client import Refused, Service, read_token

    if not check and keys is None:
        raise typer.BadParameter("name a new file for the keys, or --check", param_hint="--keys")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    with claimed(None if check else keys, "the keys' file") as write:
        try:
            with Service("search", url, read_token(token_file)) as service:
                params = {"check_only": "true"} if check else None
                answer = service.post_as(IMPORT, file.read_bytes(), CSV, params=params)
        except Refused as refused:
            if any("row" in one for one in refused.errors):
                Console(stderr=True).print(flaws_table(refused.errors))
            raise Failure(refused.said, refused.code) from None
        if check:
            console.print("The table is right. Nothing was registered.", markup=False)
            return
        write(answer.decode())
    many = len(answer.splitlines()) - 1
    console.print(f"{many:,} {'camera is' if many == 1 else 'cameras are'} registered; the keys are in {keys}.")


def export(
    url: SearchUrl,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
    token_file: TokenFile = None,
) -> None:
    """Print the cameras of your agency as CSV, retired ones too, without keys. An import takes the same columns.

    **Example**

        platetrail camera export --out cameras.csv
    """
    from services.cli.client import Service, read_token

    with Service("search", url, read_token(token_file)) as service:
        table = service.get("/v1/cameras.csv")
    if out is None:
        typer.echo(table, nl=False)
        return
    try:
        out.write_bytes(table)
    except OSError as error:
        raise Failure(f"the table cannot be written ({type(error).__name__})", USAGE) from None
