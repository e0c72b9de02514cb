"""The demo from start to end: parts, services, reads, one question, its record, and its proof."""

import asyncio
import contextlib
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
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
from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo import question as questions
from services.demo import record
from services.demo.drain import drained
from services.demo.fleet import DATABASE, Fleet, environments, new_ports
from services.demo.folder import Folder, claimed
from services.demo.kafka import Kafka
from services.demo.people import People
from services.demo.places import cache_folder, state_folder
from services.demo.postgres import Postgres
from services.demo.process import ChildError
from services.demo.question import Question
from services.demo.steps import Steps
from services.simulate import count, generate
from services.simulate.truth import Truth
from services.simulate.world import ASKING, SILENT, World, build

SKEW: Final = "The clocks are right: the simulator pushes days of reads at once, long after they were made."
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
        self._steps = steps
        self._folder = folder
        self._stack = stack

    def play(self, *, once: bool, seed: int, vehicles: int) -> int:
        """Play it all; return the exit code."""
        self._steps.chapter("Starting")
        kafka, postgres = self._start_servers()
        self._prepare(kafka, postgres)
        fleet = self._start_services(kafka, postgres)
        people = People(self._folder)
        people.write_environment(fleet, postgres)
        world, truth = self._simulate(kafka, fleet, people, seed, vehicles)
        agrees = self._question(questions.choose(world, truth), fleet, postgres, people)
        self.answered = True
        if once:
            return 0 if agrees else NOT_SO
        self._stay(fleet)
        return 0

    def _start_servers(self) -> tuple[Kafka, Postgres]:
        first = "" if (cache_folder() / "kafka").exists() else " (the first time, 44 MB are fetched)"
        with self._steps.doing(f"Apache Kafka and PostgreSQL{first}"), ThreadPoolExecutor(2) as pool:
            kafka, postgres = pool.submit(self._start_kafka), pool.submit(self._start_postgres)
            return kafka.result(), postgres.result()

    def _start_kafka(self) -> Kafka:
        kafka = kafka_starter.start(self._folder.run / "kafka", log_file=self._folder.logs / "kafka.log")
        # Said here, in the thread that started it: whatever happens to the others, it will be stopped.
        self._stack.callback(kafka.stop)
        return kafka

    def _start_postgres(self) -> Postgres:
        folder = self._folder
        log_file = folder.logs / "postgres.log"
        postgres = postgres_starter.start(folder.run / "postgres", passwords=folder.passwords, log_file=log_file)
        self._stack.callback(postgres.stop)
        return postgres

    def _prepare(self, kafka: Kafka, postgres: Postgres) -> None:
        with self._steps.doing("Roles, database, schema, topics"):
            postgres.administer(roles.statements(self._folder.passwords))
            postgres.administer(roles.database(DATABASE))
            asyncio.run(upgrade(postgres.url(roles.MIGRATE, DATABASE)))
            asyncio.run(ensure_topics(kafka.bootstrap))

    def _start_services(self, kafka: Kafka, postgres: Postgres) -> Fleet:
        with self._steps.doing("Seven services, each under a role of its own"):
            fleet = Fleet(new_ports())
            self._stack.callback(fleet.stop)
            fleet.launch(environments(self._folder, kafka, postgres, fleet.ports), self._folder.logs)
            fleet.wait()
        return fleet

    def _simulate(self, kafka: Kafka, fleet: Fleet, people: People, seed: int, vehicles: int) -> tuple[World, Truth]:
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
            detections, sightings = asyncio.run(self._index_filled(kafka, fleet))
            notes.append(f"{detections:,} detections enriched, {sightings:,} sightings indexed")
        return world, truth

    def _report(self, truth: Truth) -> None:
        numbers = count(truth)
        statuses = Counter(numbers.statuses)
        said = ", ".join(f"{many:,} {status}" for status, many in statuses.most_common())
        self._steps.say(f"{said}; {numbers.misread:,} misread, {numbers.without_plate:,} without a plate")

    async def _index_filled(self, kafka: Kafka, fleet: Fleet) -> tuple[int, int]:
        def alive() -> None:
            if dead := fleet.dead():
                raise ChildError(f"a service has ended: {dead[0]}\n{fleet.children[dead[0]].tail()}")

        return (
            await drained(kafka.bootstrap, topics.DETECTIONS, "platetrail-enricher", alive=alive),
            await drained(kafka.bootstrap, topics.SIGHTINGS, "platetrail-indexer", alive=alive),
        )

    def _question(self, question: Question, fleet: Fleet, postgres: Postgres, people: People) -> bool:
        steps, vehicle = self._steps, question.vehicle
        steps.chapter(f"{ASKING.agency_id} asks where {vehicle.plate} was")
        answer = questions.ask(question, fleet.url("search"), people.investigator())
        steps.console.print(show.trajectory(answer))
        if "clock_skew" in show.shared_doubts(answer.points):
            steps.say(Text(SKEW, style="dim"))
        silent = asyncio.run(record.through_the_gate(answer.intent, postgres, self._folder))
        steps.chapter("The question on the record")
        record.show_entry(steps, fleet.url("auditing"), people.auditor(), answer.intent)
        record.keep_receipt(answer, self._folder.receipt)
        sound = record.show_verification(steps, postgres, self._folder)
        steps.chapter("Held against what really happened")
        agreement = question.compare(answer)
        steps.say(
            f"passes expected: {agreement.expected}    returned: {agreement.answered}"
            f"    in {len(questions.zones(answer))} time zones",
            f"passes at cameras of {SILENT.agency_id}, which grants nothing: {agreement.withheld} in truth,"
            f" {silent.get(SILENT.agency_id, 0)} through the gate (which gave {sum(silent.values())} reads in all)",
        )
        if agreement.mistaken:
            steps.say(f"{len(agreement.mistaken)} of the points are other vehicles that were misread into this plate")
        faults = questions.faults(answer, agreement, silent.get(SILENT.agency_id, 0))
        faults += [] if sound else ["the log does not verify"]
        steps.console.print(
            "  [bold green]✓ The answer agrees with the truth.[/]"
            if not faults
            else "  [bold red]✗ The answer does not agree with the truth: " + "; ".join(faults) + "[/]"
        )
        return not faults

    def _stay(self, fleet: Fleet) -> None:
        steps = self._steps
        steps.chapter("It is all still running: Ctrl-C stops it")
        for name, who in (("search", "ask"), ("gateway", "push"), ("auditing", "review")):
            steps.say(f"{who:7} {fleet.url(name)}/docs")
        steps.say(
            "",
            "Another terminal can use it:",
            f"  source {self._folder.environment}",
            "  export PLATETRAIL_TOKEN=$(platetrail token --person me --role investigator \\",
            f"      --agency {ASKING.agency_id})",
            "  platetrail search trajectory --purpose stolen_vehicle --authority none",
            f"  platetrail simulate --keys {self._folder.camera_keys}",
        )
        while not (dead := fleet.dead()):
            threading.Event().wait(1.0)
        raise ChildError(f"a service has ended: {dead[0]}\n{fleet.children[dead[0]].tail()}")


def _let_signals_end_us() -> None:
    for name in ENDING:
        signal.signal(name, signal.default_int_handler)


def _no_more_signals() -> None:
    """Let nothing cut the stopping short: it is bounded by itself."""
    for name in ENDING:
        signal.signal(name, signal.SIG_IGN)
