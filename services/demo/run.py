"""The demo from start to end: parts, services, reads, one question, its record, and its proof."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from ingest.adapters.topics import ensure_topics
from schemas import topics
from schemas.migrations import roles
from schemas.migrations.run import upgrade
from services.cli import show
from services.cli.failures import INTERRUPTED, NOT_SO, UNAVAILABLE, Failure
from services.cli.options import write_private
from services.cli.simulate import push, register_cameras
from services.demo import question as questions
from services.demo import record
from services.demo import servers as server_starter
from services.demo.drain import drained, taken
from services.demo.elsewhere import unheeded
from services.demo.fleet import Fleet, environments, new_ports
from services.demo.folder import Folder, claimed
from services.demo.people import People
from services.demo.places import cache_folder, state_folder
from services.demo.process import ChildError
from services.demo.question import Question
from services.demo.servers import Database, Servers
from services.demo.steps import Steps
from services.search import RELEASE_LEVEL, RELEASE_MEANING
from services.settings import Settings
from services.simulate import count, generate
from services.simulate.truth import Truth
from services.simulate.world import ASKING, SILENT, World, build

SKEW: Final = "The clocks are right: the simulator pushes days of reads at once, long after they were made."
PASS_WINDOW_S: Final[float] = Settings.model_fields["pass_window_s"].default
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(*, once: bool, seed: int, vehicles: int) -> int:
    """Run the demo; return its exit code. Raises Failure if a part does not start."""
    steps = Steps(Console(highlight=False))
    _let_signals_end_us()
    demo = None
    try:
        with claimed(state_folder()) as folder, contextlib.ExitStack() as stack:
            stack.callback(_no_more_signals)
            demo = Demo(steps, folder, stack)
            return demo.play(once=once, seed=seed, vehicles=vehicles)
    except KeyboardInterrupt:
        steps.console.print("Stopped." if demo is not None else "")
        return 0 if demo is not None and demo.answered else INTERRUPTED
    except (ChildError, TimeoutError) as error:
        raise Failure(str(error), UNAVAILABLE) from None


class Demo:
    """One run."""

    def __init__(self, steps: Steps, folder: Folder, stack: contextlib.ExitStack) -> None:
        """Write to `steps`, live in `folder`, leave what must be stopped on `stack`."""
        self.answered = False
        self._before = (0, 0)
        self._steps = steps
        self._folder = folder
        self._stack = stack

    def play(self, *, once: bool, seed: int, vehicles: int) -> int:
        """Play it all; return the exit code."""
        self._steps.chapter("Starting")
        servers = self._start_servers()
        self._prepare(servers)
        fleet = self._start_services(servers)
        people = People(self._folder)
        people.write_environment(fleet, servers)
        world, truth = self._simulate(servers, fleet, people, seed, vehicles)
        agrees = self._question(questions.choose(world, truth), fleet, servers.database, people)
        self.answered = True
        if once:
            return 0 if agrees else NOT_SO
        self._stay(fleet, seed)
        return 0

    def _start_servers(self) -> Servers:
        first = "" if (cache_folder() / "kafka").exists() else " (the first time, 44 MB are fetched)"
        with self._steps.doing(f"Apache Kafka and PostgreSQL{first}") as notes:
            servers = server_starter.start(self._folder, self._stack)
            notes += servers.notes
        return servers

    def _prepare(self, servers: Servers) -> None:
        with self._steps.doing("Roles, database, schema, topics") as notes:
            servers.database.make()
            asyncio.run(upgrade(servers.database.url(roles.MIGRATE)))
            self._before = asyncio.run(_taken(servers.bootstrap))
            if before := self._before[0]:
                notes.append(f"this Kafka was given {before:,} detections before: they are no part of this run")
            asyncio.run(ensure_topics(servers.bootstrap))
        if before:
            # The same seed drives the same vehicles: their reads would be further reads of passes that are still open.
            with self._steps.doing("Passes of the run before end"):
                time.sleep(PASS_WINDOW_S + 1)

    def _start_services(self, servers: Servers) -> Fleet:
        with self._steps.doing("The services, each under a role of its own") as notes:
            fleet = Fleet(new_ports())
            self._stack.callback(fleet.stop)
            if others := unheeded(os.environ):
                notes.append(f"not heeded, the demo has settings of its own: {', '.join(others)}")
            fleet.launch(environments(self._folder, servers, fleet.ports), self._folder.logs)
            fleet.wait()
        return fleet

    def _simulate(
        self, servers: Servers, fleet: Fleet, people: People, seed: int, vehicles: int
    ) -> tuple[World, Truth]:
        steps = self._steps
        steps.chapter("Cameras push what they see")
        with steps.doing("A world of roads and cameras, and who drove where") as notes:
            world = build(seed)
            truth = generate(world, datetime.now(UTC), vehicles=vehicles)
            numbers = count(truth)
            notes.append(f"{len(world.cameras)} cameras of {len(world.agencies)} agencies")
            notes.append(f"{numbers.vehicles:,} vehicles, {numbers.passes:,} passes")
        keys = register_cameras(world, fleet.url("search"), people.operators(world), steps.console)
        write_private(self._folder.camera_keys, msgspec.json.encode(keys))
        truth = push(truth, fleet.url("gateway"), keys, steps.console, self._folder.truth)
        self._report(truth)
        with steps.doing("Reads reach the index") as notes:
            detections, sightings = asyncio.run(self._index_filled(servers.bootstrap, fleet))
            enriched, indexed = detections - self._before[0], sightings - self._before[1]
            notes.append(f"{enriched:,} detections enriched, {indexed:,} sightings indexed")
        return world, truth

    def _report(self, truth: Truth) -> None:
        numbers = count(truth)
        statuses = Counter(numbers.statuses)
        said = ", ".join(f"{many:,} {status}" for status, many in statuses.most_common())
        self._steps.say(f"{said}; {numbers.misread:,} misread, {numbers.without_plate:,} without a plate")

    async def _index_filled(self, bootstrap: str, fleet: Fleet) -> tuple[int, int]:
        def alive() -> None:
            if dead := fleet.dead():
                raise ChildError(f"a service has ended: {dead[0]}\n{fleet.children[dead[0]].tail()}")

        return (
            await drained(bootstrap, topics.DETECTIONS, "platetrail-enricher", alive=alive),
            await drained(bootstrap, topics.SIGHTINGS, "platetrail-indexer", alive=alive),
        )

    def _question(self, question: Question, fleet: Fleet, database: Database, people: People) -> bool:
        steps, vehicle = self._steps, question.vehicle
        steps.chapter(f"{ASKING.agency_id} asks where {vehicle.plate} was")
        answer = questions.ask(question, fleet.url("search"), people.investigator())
        steps.console.print(show.trajectory(answer))
        if "clock_skew" in show.shared_doubts(answer.points):
            steps.say(Text(SKEW, style="dim"))
        silent = asyncio.run(record.through_the_gate(answer.intent, database, self._folder))
        steps.chapter("The question on the record")
        record.show_entry(steps, fleet.url("auditing"), people.auditor(), answer.intent)
        record.keep_receipt(answer, self._folder.receipt)
        sound = record.show_verification(steps, database, self._folder)
        steps.say(Text(f"release level {RELEASE_LEVEL}: {RELEASE_MEANING}", style="dim"))
        steps.chapter("Held against what really happened")
        agreement = question.compare(answer)
        steps.say(
            f"passes expected: {agreement.expected}    returned: {agreement.answered}"
            f"    in {len(questions.zones(answer))} time zones",
            f"passes at cameras of {SILENT.agency_id}, which grants nothing: {agreement.withheld} in truth,"
            f" {silent.get(SILENT.agency_id, 0)} through the gate (which gave {sum(silent.values())} reads in all)",
        )
        if agreement.mistaken:
            steps.say(questions.mistaken(len(agreement.mistaken)))
        if agreement.undecided:
            steps.say(questions.undecided(len(agreement.undecided)))
        faults = questions.faults(answer, agreement, silent.get(SILENT.agency_id, 0))
        faults += [] if sound else ["the log does not verify"]
        steps.console.print(
            "  [bold green]✓ The answer agrees with the truth.[/]"
            if not faults
            else "  [bold red]✗ The answer does not agree with the truth: " + "; ".join(faults) + "[/]"
        )
        return not faults

    def _stay(self, fleet: Fleet, seed: int) -> None:
        steps = self._steps
        steps.chapter("It is all still running: Ctrl-C stops it")
        for name, who in (("search", "ask"), ("gateway", "push"), ("auditing", "review"), ("deadletters", "mend")):
            steps.say(f"{who:7} {fleet.url(name)}/docs")
        steps.say(
            "",
            "Another terminal can use it:",
            f"  source {self._folder.environment}",
            "  export PLATETRAIL_TOKEN=$(platetrail token --person me --role investigator \\",
            f"      --agency {ASKING.agency_id})",
            "  platetrail search trajectory --purpose stolen_vehicle --authority none",
            "More traffic at the same cameras, and a plate of it to ask for:",
            f"  platetrail simulate --seed {seed} --traffic-seed {seed + 1} \\",
            f"      --keys {self._folder.camera_keys}",
        )
        while not (dead := fleet.dead()):
            threading.Event().wait(1.0)
        raise ChildError(f"a service has ended: {dead[0]}\n{fleet.children[dead[0]].tail()}")


async def _taken(bootstrap: str) -> tuple[int, int]:
    """Return how many detections and sightings a broker was given before."""
    return await taken(bootstrap, topics.DETECTIONS), await taken(bootstrap, topics.SIGHTINGS)


def _let_signals_end_us() -> None:
    def end(_: int, __: object) -> None:
        _no_more_signals()
        # Past the console, which may be in the middle of a line: stopping takes a few seconds, and is said before.
        with contextlib.suppress(OSError):
            os.write(2, "\nStopping …\n".encode())
        raise KeyboardInterrupt

    for name in ENDING:
        signal.signal(name, end)


def _no_more_signals() -> None:
    """Let nothing cut the stopping short: it is bounded by itself."""
    for name in ENDING:
        signal.signal(name, signal.SIG_IGN)
