"""`platetrail simulate`: cameras of a made-up world push reads to a running gateway."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.failures import UNAVAILABLE, USAGE, Failure
from services.cli.options import GatewayUrl
from services.cli.secret_file import claimed

if TYPE_CHECKING:
    from services.simulate.truth import Truth
    from services.simulate.world import World


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", rich_help_panel="Those who run it")(simulate)


def simulate(
    url: GatewayUrl,
    keys: Annotated[Path, typer.Option(help="JSON file, camera id to camera key.")],
    register: Annotated[
        bool, typer.Option("--register", help="Register the cameras first and write the keys' file (development only).")
    ] = False,
    search_url: Annotated[
        str, typer.Option(envvar="PLATETRAIL_SEARCH_URL", help="The search service's base URL, for --register.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Makes roads and cameras: the one that the keys were made with.")] = 1,
    traffic_seed: Annotated[
        int | None, typer.Option(help="Makes vehicles and their trips; without it, --seed. Traffic always ends now.")
    ] = None,
    vehicles: Annotated[int, typer.Option(min=1, help="How many vehicles drive.")] = 600,
    days: Annotated[float, typer.Option(min=0.1, max=20, help="How many days, up to now.")] = 3.0,
    truth: Annotated[Path | None, typer.Option(help="Keep what really happened in this file (JSON Lines).")] = None,
) -> None:
    """Drive made-up vehicles past made-up cameras, and push the reads exactly as cameras do.

    Cities are real, agencies, vehicles and plates are not. Reads are wrong as often as real ones. One plate that is
    worth asking for is printed at the end.

    **Examples**

        platetrail simulate --register --keys keys.json --truth truth.jsonl

        platetrail simulate --keys keys.json --traffic-seed 2
    """
    from services.simulate import count, generate
    from services.simulate.world import build

    console = Console(stderr=True)
    with console.status("building the world"):
        world = build(seed)
    if register:
        with claimed(keys, "the keys' file", replace=True) as write:
            write(json.dumps(register_cameras(world, search_url, operator_tokens(world), console), indent=1))
    known = _read_keys(keys)
    with console.status("driving"):
        happened = generate(world, datetime.now(UTC), vehicles=vehicles, days=days, traffic_seed=traffic_seed)
    answered = push(happened, url, known, console, truth)
    numbers = count(answered)
    said = ", ".join(f"{number:,} {status}" for status, number in sorted(numbers.statuses.items()))
    console.print(f"{numbers.reads:,} reads of {numbers.passes:,} passes pushed: {said}.", markup=False)
    console.print(worth_asking(world, answered), markup=False, soft_wrap=True)


def worth_asking(world: "World", truth: "Truth") -> str:
    """Return a sentence that names a plate to ask for; it is made up, as all of this is."""
    from services.simulate.truth import choose_vehicle
    from services.simulate.world import ASKING, SILENT

    owners = world.owners_open_to(ASKING.agency_id)
    vehicle = choose_vehicle(truth, truth.start, truth.now, owners, SILENT.agency_id)
    if vehicle is None:
        return "No vehicle drove far enough to be worth asking for; more --vehicles or --days make one likely."
    return f"Worth asking for, as {ASKING.agency_id}, once the reads are indexed: {vehicle.plate}"


def operator_tokens(world: "World") -> dict[str, str]:
    """Return a camera operator's token for each agency, from the local issuer. Raises Failure outside development."""
    from datetime import timedelta

    from services.cli.issuer import issue
    from services.settings import Settings

    settings = Settings()
    return {
        agency.agency_id: issue(
            settings,
            person=f"operator@{agency.agency_id}",
            agency=agency.agency_id,
            roles=["camera_operator"],
            lifetime=timedelta(minutes=15),
        )
        for agency in world.agencies
    }


def register_cameras(world: "World", url: str, tokens: Mapping[str, str], console: Console) -> dict[str, str]:
    """Register every camera of a world as its own agency's operator; return the keys by camera id. Raises Failure."""
    from services.cli.camera import register
    from services.cli.client import Service

    if not url:
        raise Failure("set PLATETRAIL_SEARCH_URL, or give --search-url", USAGE)
    keys: dict[str, str] = {}
    services = {agency: Service("search", url, token) for agency, token in tokens.items()}
    with progress(console) as bar:
        for placed in bar.track(world.cameras, description="registering cameras"):
            key = register(services[placed.owner], registration(placed))["key"]
            assert key is not None, "simulated cameras prove themselves by a key"
            keys[placed.camera_id] = key
    return keys


def registration(placed: Any) -> dict[str, Any]:
    """Return what an operator says of a camera: nothing that only the simulator knows."""
    names = (
        "camera_id", "name", "latitude", "longitude", "heading_deg", "timezone", "clock_use", "clock_uncertainty_s",
    )  # fmt: skip
    return {name: getattr(placed, name) for name in names}


def push(
    truth: "Truth", url: str, keys: Mapping[str, str], console: Console, truth_file: Path | None = None
) -> "Truth":
    """Push all reads, showing how far it has come; return the truth with the gateway's answers. Raises Failure."""
    from services.simulate.push import GaveUp, Refused, Unanswered
    from services.simulate.push import Progress as Pushed
    from services.simulate.simulation import run

    with progress(console) as bar:
        task = bar.add_task("pushing reads", total=len(truth.reads))

        def moved(pushed: Pushed) -> None:
            bar.update(task, completed=pushed.done)

        show: Callable[[Pushed], None] = moved
        try:
            return asyncio.run(run(truth, url, keys, progress=show, truth_file=truth_file))
        except KeyError as error:
            raise Failure(f"the keys' file has no key for {error.args[0]}", USAGE) from None
        except (Refused, GaveUp, Unanswered) as error:
            raise Failure(str(error), UNAVAILABLE) from None


def progress(console: Console) -> Progress:
    """Return a progress bar as all commands show it."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _read_keys(file: Path) -> dict[str, str]:
    try:
        keys: dict[str, str] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Failure(f"the keys' file cannot be read ({type(error).__name__}); --register makes one", USAGE) from None
    return keys
