"""`platetrail token`: a bearer token of the local issuer, for development."""

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from schemas.queries import Role
from services.cli.failures import USAGE, Failure


class RoleName(StrEnum):
    """What a token lets its bearer do."""

    INVESTIGATOR = "investigator"
    CAMERA_OPERATOR = "camera_operator"
    AUDITOR = "auditor"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("token", rich_help_panel="Those who run it")(token)


def token(
    person: Annotated[str, typer.Option(help="Who the token says you are.")],
    agency: Annotated[str, typer.Option(help="The agency you act for, such as copper-mesa-so.")],
    role: Annotated[list[RoleName], typer.Option(help="What you may do; give it again for a second role.")],
    hours: Annotated[float, typer.Option(min=0.01, max=24.0, help="How long the token is good.")] = 1.0,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make the issuer's key pair first; fails if the files exist.")
    ] = False,
) -> None:
    """Print a token of the local development issuer.

    It warns that it is one, and refuses unless PLATETRAIL_ENVIRONMENT is `development` and every listener of the
    installation (PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_ALL) is loopback. Reads PLATETRAIL_TOKEN_PRIVATE_KEY_FILE;
    services verify with PLATETRAIL_TOKEN_PUBLIC_KEY_FILE.

    **Example**

        export PLATETRAIL_TOKEN=$(platetrail token --person ada --agency copper-mesa-so --role investigator)
    """
    from services.cli.issuer import WARNING, issue, refuse_outside_development
    from services.settings import Settings

    settings = Settings()
    refuse_outside_development(settings)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", agency):
        raise typer.BadParameter("an agency is lower case letters, digits and hyphens", param_hint="--agency")
    Console(stderr=True, soft_wrap=True).print(WARNING, style="bold red")
    if new_key:
        _make_key(settings.token_private_key_file, settings.token_public_key_file)
    roles = cast("list[Role]", [one.value for one in role])
    typer.echo(issue(settings, person=person, agency=agency, roles=roles, lifetime=timedelta(hours=hours)))


def _make_key(private_file: Path | None, public_file: Path | None) -> None:
    from services.cli.issuer import make_pair

    if private_file is None or public_file is None:
        raise Failure("set PLATETRAIL_TOKEN_PRIVATE_KEY_FILE and PLATETRAIL_TOKEN_PUBLIC_KEY_FILE first", USAGE)
    try:
        make_pair(private_file, public_file)
    except FileExistsError:
        raise Failure("a key file exists already, and a key is never overwritten", USAGE) from None
    except OSError as error:
        raise Failure(f"the key files cannot be written ({type(error).__name__})", USAGE) from None
