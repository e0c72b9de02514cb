"""`platetrail network`: camera networks that write into topics of their own."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.failures import NOT_SO, REFUSED, UNAVAILABLE, USAGE, Failure
from services.cli.secret_file import claimed

if TYPE_CHECKING:
    from ingest.adapters.broker import Broker
    from ingest.alarm import Standing

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

T = TypeVar("T")

Network = Annotated[str, typer.Argument(help="1 to 63 lower-case letters, digits and hyphens, such as front-range.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    says = "Camera networks that write into topics of their own. Reads PLATETRAIL_KAFKA_… of an administrator."
    group = typer.Typer(help=says, no_args_is_help=True, rich_markup_mode="markdown")
    group.command("add")(add)
    group.command("list")(show)
    group.command("remove")(remove)
    app.add_typer(group, name="network", rich_help_panel="Those who run it")


def add(
    network: Network,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="It exists: give it another password; the old one ends.")
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(help="Write the password to this file (0600), new unless --new-password, instead of showing it."),
    ] = None,
) -> None:
    """Let a camera network write: its topic, a user with a password, and the right to write there and do nothing else.

    The password is shown once; the broker keeps a hash. Name the network in PLATETRAIL_NETWORKS of
    `platetrail serve inbox`, too, and in the `network` of its cameras.

    **Example**

        platetrail network add front-range --password-file front-range.password
    """
    from ingest.adapters.principals import principal
    from ingest.adapters.topics import ensure_topics
    from schemas import topics

    _checked(network)
    principals, broker = _principals()
    if (principal(network) in _heeding(principals.known)) != new_password:
        text = "there is no such network" if new_password else "there is such a network: see --new-password"
        raise Failure(text, USAGE)
    with claimed(password_file, "the password's file", replace=new_password) as write:
        _run(ensure_topics(broker, [topics.inbox(network)]))
        word = _heeding(lambda: principals.add(network))
        console = Console(stderr=True, soft_wrap=True)
        says = f"{principal(network)} may write into {topics.inbox(network)}, and nothing else (SCRAM-SHA-512)."
        if password_file is None:
            console.print(f"{says} Its password is shown this once:", markup=False)
        write(f"{word}\n")
    if password_file is not None:
        console.print(f"{says} Its password is in {password_file}.", markup=False)


def remove(network: Network) -> None:
    """Take a network's password and rights away. Its topic stays, and ages.

    **Example**

        platetrail network remove front-range
    """
    _checked(network)
    principals, _ = _principals()
    _heeding(lambda: principals.remove(network))
    Console(stderr=True, soft_wrap=True).print(f"{network} may write no more.", markup=False)


def show() -> None:
    """List the networks, and how far each one's topic has been read.

    Exits with 1 if the oldest unread record of one is three minutes old, or records were lost since the last commit: it
    asks the broker, so it tells when `inbox` is down.

    **Example**

        platetrail network list
    """
    from ingest.adapters.principals import networks

    principals, broker = _principals()
    names = networks(_heeding(principals.known))
    if not names:
        Console().print("No network is known.")
        return
    standings, now = _run(_looked(broker, names)), datetime.now(UTC)
    Console().print(_table(standings, now))
    if any(standing.is_late(now) for standing in standings.values()):
        raise Failure("a network's topic is not read in time", NOT_SO)


async def _looked(broker: "Broker", names: list[str]) -> "dict[str, Standing]":
    from ingest.adapters.inboxes import Inboxes

    inboxes = Inboxes(broker, names)
    await inboxes.start()
    try:
        return await inboxes.look()
    finally:
        await inboxes.stop()


def _table(standings: "dict[str, Standing]", now: datetime) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("network", no_wrap=True)
    for heading in ("unread", "oldest", "lost"):
        table.add_column(heading, justify="right")
    for name, one in standings.items():
        table.add_row(name, str(one.unread), f"{one.age_s(now):.0f} s" if one.unread else "-", str(one.lost))
    return table


def _checked(network: str) -> None:
    if NAME.fullmatch(network) is None:
        raise Failure("a network's name is 1 to 63 lower-case letters, digits and hyphens", USAGE)


def _principals() -> "tuple[Any, Broker]":
    from ingest.adapters.principals import Principals
    from services.settings import Missing, Settings

    try:
        broker = Settings().broker()
    except (Missing, OSError) as error:
        text = str(error) if isinstance(error, Missing) else "a file that the settings name can't be read"
        raise Failure(text, USAGE) from None
    return Principals(broker), broker


def _run(work: Coroutine[Any, Any, T]) -> T:
    return _heeding(lambda: asyncio.run(work))


def _heeding(work: Callable[[], T]) -> T:
    """Do work on the broker; what goes wrong there is one line. Its text holds no value of ours."""
    from ingest.errors import Misconfigured, Unavailable

    try:
        return work()
    except Unavailable as error:
        raise Failure(str(error), UNAVAILABLE) from None
    except Misconfigured as error:
        raise Failure(str(error), REFUSED) from None
