"""`platetrail db`: roles, database and schema."""

import asyncio
import json
import os
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from services.cli.failures import UNAVAILABLE, USAGE, Failure
from services.cli.options import write_private

SUPERUSER_VARIABLE: Final = "PLATETRAIL_SUPERUSER_URL"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Prepare the database.", no_args_is_help=True, rich_markup_mode="markdown")
    group.command("init")(init)
    group.command("migrate")(migrate)
    app.add_typer(group, name="db", rich_help_panel="Those who run it")


def init(
    passwords: Annotated[
        Path, typer.Option(help="JSON file, role to password; made (0600) with random ones if it is absent.")
    ],
    database: Annotated[str, typer.Option(help="Name of the database to make.")] = "platetrail",
    roles_only: Annotated[
        bool,
        typer.Option(
            "--roles-only", help="Make roles that are new, and no database: before `db migrate`, after an upgrade."
        ),
    ] = False,
) -> None:
    """Make the roles, each with a password of its own, and an empty database. Once an installation.

    Reads PLATETRAIL_SUPERUSER_URL, or asks for it: a URL holds a password, and a command line hides none. Run
    `platetrail db migrate` next.

    **Example**

        platetrail db init --passwords roles.json
    """
    from schemas.migrations import roles
    from schemas.migrations.run import administer

    url = os.environ.get(SUPERUSER_VARIABLE) or typer.prompt("URL of the superuser", hide_input=True, err=True)
    words = _passwords(passwords, roles.LOGINS)
    try:
        statements = [*roles.statements(words), *([] if roles_only else roles.database(database))]
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    _run("the roles were not made" if roles_only else "the database was not made", administer(url, statements))
    if not roles_only:
        _run("the database was made, but not closed", administer(url, roles.WITHIN, database))
    made = "Roles" if roles_only else f"Roles and database {database}"
    Console(stderr=True, soft_wrap=True).print(f"{made} are made; the passwords are in {passwords}.", markup=False)


def migrate() -> None:
    """Bring the schema to this version: in one transaction, or not at all.

    Reads PLATETRAIL_DATABASE_URL, of the role platetrail_migrate.

    **Example**

        PLATETRAIL_DATABASE_URL=postgresql://platetrail_migrate:…@127.0.0.1/platetrail platetrail db migrate
    """
    from schemas.migrations.run import upgrade
    from services.settings import Settings

    url = Settings().database_url
    if not url:
        raise Failure("set PLATETRAIL_DATABASE_URL, of the role platetrail_migrate", USAGE)
    with Console(stderr=True).status("migrating"):
        _run("nothing was migrated", upgrade(url))
    Console(stderr=True).print("The schema is up to date.")


def _passwords(file: Path, roles: dict[str, str]) -> dict[str, str]:
    if not file.exists():
        write_private(file, json.dumps({role: secrets.token_urlsafe(24) for role in roles}, indent=2).encode() + b"\n")
    try:
        words: dict[str, str] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Failure(f"the passwords' file cannot be read ({type(error).__name__})", USAGE) from None
    new = {role: secrets.token_urlsafe(24) for role in roles if role not in words}
    if new:
        words |= new
        beside = file.with_name(file.name + ".new")
        write_private(beside, json.dumps(words, indent=2).encode() + b"\n")
        beside.replace(file)
    return words


def _run(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Run work on the database. An error is named by its types and SQLSTATE: its text may quote what it met."""
    from services.observe import exception_names

    try:
        asyncio.run(work)
    except Exception as error:  # noqa: BLE001 - drivers raise what they like; all of it means the same here
        raise Failure(f"{what}: {exception_names(error)}", UNAVAILABLE) from None
