"""`platetrail db`: roles, database and schema."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from services.cli.failures import REFUSED, UNAVAILABLE, USAGE, Failure
from services.cli.secret_file import claimed

SUPERUSER_VARIABLE: Final = "PLATETRAIL_SUPERUSER_URL"
PASSWORDS_FILE: Final = "the passwords' file"

SQLSTATE: Final = re.compile(r"\[([0-9A-Z]{5})\]")

WORDS: Final = {
    "28": "the server refuses this user or password",
    "42P04": "a database of this name exists; --roles-only, with the same file, makes the roles that are new",
    "42501": "this user has not the right to do it",
    "3D000": "the server has no database of the name in the URL",
}
"""What an operator can mend, by SQLSTATE or its class."""


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
            "--roles-only",
            help="Make roles that are new, and no database: before `db migrate`, after an upgrade. Those that exist "
            "get the password that the file has for them.",
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
    kept = _read(passwords)
    words = completed(kept, roles.LOGINS)
    try:
        statements = [*roles.statements(words), *([] if roles_only else roles.database(database))]
        before = [roles.RIGHTS, *([] if roles_only else [roles.refuse_existing(database)])]
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    with nullcontext() if words == kept else claimed(passwords, PASSWORDS_FILE, replace=True) as write:
        _run("nothing was made", administer(url, before))
        if write is not None:  # before a role has one of them, or that would be lost with this process
            write(json.dumps(words, indent=2) + "\n")
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
    from schemas.migrations.run import is_url, upgrade
    from services.settings import Settings

    url = Settings().database_url
    if not url:
        raise Failure("set PLATETRAIL_DATABASE_URL, of the role platetrail_migrate", USAGE)
    if not is_url(url):
        raise Failure("PLATETRAIL_DATABASE_URL is no URL that begins with postgresql://", USAGE)
    with Console(stderr=True).status("migrating"):
        _run("nothing was migrated", upgrade(url))
    Console(stderr=True).print("The schema is up to date.")


def completed(words: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return passwords with a random one for every role that has none."""
    return {**words, **{role: secrets.token_urlsafe(24) for role in names if role not in words}}


def _read(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"{PASSWORDS_FILE} cannot be read ({type(error).__name__})", USAGE) from None


def _run(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Run work on the database. An error is named by its types and SQLSTATE: its text may quote what it met."""
    from schemas.migrations.run import WrongRole
    from services.observe import exception_names

    try:
        asyncio.run(work)
    except WrongRole:
        raise Failure("PLATETRAIL_DATABASE_URL is not of the role platetrail_migrate", USAGE) from None
    except Exception as error:  # noqa: BLE001 - drivers raise what they like; all of it means the same here
        names = exception_names(error)
        state = found[1] if (found := SQLSTATE.search(names)) else ""
        words = WORDS.get(state) or WORDS.get(state[:2])
        if words is not None:
            raise Failure(f"{what}: {words} ({state})", REFUSED) from None
        raise Failure(f"{what}: {names}", UNAVAILABLE) from None
