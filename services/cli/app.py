"""The command's tree, and what becomes of its errors."""

import sys
from typing import Any, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperGroup

from services.cli import audit, camera, contracts, db, deadletters, demo, network, search, serve, simulate, token
from services.cli.failures import EXIT_CODES, USAGE, Failure

HELP = f"""Licence-plate reads from camera to trajectory, every question on the record.

**First steps**

    platetrail demo                      see all of it at once
    platetrail search trajectory --help  ask where a vehicle was
    platetrail camera add --help         register a camera
    platetrail audit --help              review who asked, and check the log
    platetrail serve --help              run the services

Settings are environment variables that begin with `PLATETRAIL_`; each command names the settings that it needs;
docs/operating.md has all.

{EXIT_CODES}
"""


ORDER: Final = (
    "demo",
    "search",
    "camera",
    "deadletters",
    "audit",
    "serve",
    "db",
    "network",
    "token",
    "simulate",
    "contracts",
)


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands as their readers come: curious, investigators, operators, auditors, administrators."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


def build() -> typer.Typer:
    """Return the command with all its groups."""
    app = typer.Typer(
        name="platetrail",
        cls=_InOrder,
        help=HELP,
        rich_markup_mode="markdown",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    demo.add_to(app)
    search.add_to(app)
    camera.add_to(app)
    deadletters.add_to(app)
    audit.add_to(app)
    token.add_to(app)
    simulate.add_to(app)
    db.add_to(app)
    network.add_to(app)
    serve.add_to(app)
    contracts.add_to(app)
    return app


def run(arguments: list[str] | None = None) -> None:
    """Run the command to its end and leave with its exit code."""
    try:
        build()(arguments)
    except Failure as failure:
        _complain(str(failure))
        sys.exit(failure.code)
    except ValidationError as error:
        _complain(_about_settings(error))
        sys.exit(USAGE)


def _complain(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"platetrail: {text}", markup=False)


def _about_settings(error: ValidationError) -> str:
    """Name the settings that cannot be used, without what they hold."""
    wrong = [
        f"PLATETRAIL_{'_'.join(str(part) for part in one['loc']).upper()} ({one['type']})" for one in error.errors()
    ]
    return "unusable settings: " + ", ".join(wrong)
