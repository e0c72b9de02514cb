"""`platetrail demo`: all of it at once, on this machine."""

from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel="Start here")(demo)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the answer: 0 only if it agrees with what really happened.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="The same seed makes the same roads, cameras and vehicles; what they do ends now.")
    ] = 1,
    vehicles: Annotated[int, typer.Option(min=50, help="How many vehicles drive.")] = 600,
) -> None:
    """Start everything, simulate, ask for one vehicle, show the audit. Ctrl-C stops all of it.

    Apache Kafka, PostgreSQL and every service run on free loopback ports. Three made-up agencies own the cameras; one
    of them shares nothing, and the answer says so. Files are in `.platetrail/` of the clone (PLATETRAIL_HOME names
    another folder): the logs stay, the rest goes at the end. Downloads are in one folder of the user's cache.

    PLATETRAIL_DEMO_KAFKA_BOOTSTRAP and PLATETRAIL_DEMO_SUPERUSER_URL name servers that run already, to be used instead
    of own ones; the database that is made there is dropped at the end.

    **Example**

        platetrail demo --once && echo the answer agrees with the truth
    """
    from services.demo.run import run

    raise typer.Exit(run(once=once, seed=seed, vehicles=vehicles))
