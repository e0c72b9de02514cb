"""The load: cameras that push, a network that writes, changes of the registry, and an operator; each until it is heard.

Whoever gets no answer sends the same again, as a camera does. What was acknowledged is the list against which
everything is counted.
"""

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import asyncpg
import httpx
import msgspec

from ingest import deadletter
from ingest.adapters.kafka import KafkaPublisher
from ingest.errors import Unavailable
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason, Stage
from schemas.detections import event_id
from tests.faults.counting import Look
from tests.faults.passes import Pass, event_of, vehicles
from tests.faults.system import NETWORK, OWNER, WINDOW_S, System
from tests.support.cameras import camera
from tests.support.detections import detection
from tests.support.wait import until_async

CAMERAS: Final = 16
NETWORKED: Final = 4
RENAMED: Final = 8
PACE_S: Final = 0.4
NEW_A_PUSH: Final = 8
BURST: Final = 40
"""New vehicles in a push of the camera with ephemeral handling, while the matcher is to be met at work."""

LETTERS: Final = 10
"""Dead letters that are written at once, while what counts them is to be met at work."""

KINDS_OF_LETTERS: Final[Sequence[tuple[Stage, Reason]]] = (
    ("enricher", "unknown_camera"), ("enricher", "poisoned"), ("indexer", "poisoned"), ("gateway", "clock_future"),
)  # fmt: skip

EPHEMERAL: Final = "faults-ephemeral"
STRAGGLING_S: Final = WINDOW_S * 0.75
"""A read that is acknowledged later than this after its pass's first one may rightly open a pass of its own."""

ANSWERS_S: Final = 180.0
"""How long the load may take for what it has begun, once it was told to end."""

INTO_CAMERA: Final = """
insert into registry.camera select * from jsonb_populate_record(null::registry.camera, $1::jsonb)
on conflict (camera_id) do update set revision = excluded.revision, name = excluded.name
"""
INTO_OUTBOX: Final = "insert into registry.outbox (topic, key, value) values ($1, $2, $3)"

_LOST_ANSWERS: Final = (httpx.HTTPError, OSError)
_OUTAGES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class World:
    """The cameras, and the vehicles that have not come yet: what outlives a load."""

    def __init__(self, system: System, rng: Random) -> None:
        """Make the cameras; `register` tells the system of them."""
        self.system = system
        self.rng = rng
        self.pushing = [camera(f"faults-{number}") for number in range(CAMERAS)]
        self.networked = [camera(f"faults-{NETWORK}-{number}", network=NETWORK)[0] for number in range(NETWORKED)]
        self.ephemeral = camera(EPHEMERAL, handling="ephemeral")
        self.renamed = [camera(f"faults-renamed-{number}")[0] for number in range(RENAMED)]
        self.plates: deque[str] = deque(maxlen=200)
        self.vehicles = vehicles(rng, rng.randrange(1000, 200_000))

    async def register(self) -> None:
        """Put the cameras into the registry, and wait until the stream has them."""
        everyone = [*(one for one, _ in self.pushing), *self.networked, self.ephemeral[0], *self.renamed]
        connection = await asyncpg.connect(self.system.database.url("platetrail_search"))
        try:
            async with connection.transaction():
                for one in everyone:
                    await put(connection, one)

            async def told() -> bool:
                return not await self.system.ask("select from registry.outbox limit 1")

            await until_async(told, "the stream has the cameras")
        finally:
            await connection.close()


async def put(connection: Any, one: Camera) -> None:
    """Put a camera into the table and the outbox, inside a transaction, as `act` does."""
    await connection.execute(INTO_CAMERA, msgspec.json.encode(one).decode())
    await connection.execute(INTO_OUTBOX, topics.CAMERAS, one.camera_id.encode(), wire.encode(one))


class Load:
    """One load: what it sent, what was acknowledged, and what waits for an answer at this moment."""

    def __init__(self, world: World) -> None:
        """Begin with nothing. Use `running`. `stressed` names a process that needs more to do, to be met at work.

        `bad` counts the dead letters that are to be expected, by reason. `looks` are those at the
        counts of letters.
        """
        self.world = world
        self.system = world.system
        self.began_at = datetime.now(UTC)
        self.passes: list[Pass] = []
        self.put_back: dict[uuid.UUID, Pass] = {}
        self.reads = 0
        self.resent = 0
        self.refused: list[str] = []
        self.bad: Counter[str] = Counter()
        self.looks: list[Look] = []
        self.waiting: dict[str, int] = {"gateway": 0, "deadletters": 0}
        self.stressed = ""
        self._stop = asyncio.Event()
        self._client: httpx.AsyncClient
        self._publisher: KafkaPublisher

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Drive while the block runs; return once everything that was begun is acknowledged."""
        async with (
            httpx.AsyncClient(trust_env=False, timeout=30.0) as self._client,
            KafkaPublisher(self.system.kafka.bootstrap, timeout_s=10) as self._publisher,
        ):
            tasks = [asyncio.create_task(one) for one in self._drivers()]
            try:
                yield self
                self._stop.set()
                await asyncio.wait_for(asyncio.gather(*tasks), ANSWERS_S)
            finally:
                self._stop.set()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    def _drivers(self) -> Iterator[Coroutine[Any, Any, None]]:
        for one, key in self.world.pushing:
            yield self._drive(one.camera_id, self._pusher(key))
        for one in self.world.networked:
            yield self._drive(one.camera_id, self._writer(one.camera_id))
        yield self._drive(EPHEMERAL, self._pusher(self.world.ephemeral[1]))
        yield self._rename()
        yield self._operate()
        yield self._write_letters()
        yield self._poison()

    async def _drive(self, camera_id: str, send: Callable[[list[dict[str, Any]]], Any]) -> None:
        """Send vehicle after vehicle past one camera: new ones, and further reads of those that came before."""
        due: list[tuple[Pass, int]] = []
        while not self._stop.is_set() or due:
            reads = due
            if not self._stop.is_set():
                reads = [*due, *((one, 0) for one in self._arrivals(camera_id))]
            due = [(one, number + 1) for one, number in reads if number + 1 < len(one.rightly)]
            await self._send(camera_id, reads, send)
            hurried = camera_id == EPHEMERAL and self.stressed == "matcher"
            await self._pause(0.1 if hurried else PACE_S * self.world.rng.uniform(0.5, 1.5))

    def _arrivals(self, camera_id: str) -> list[Pass]:
        now = datetime.now(UTC)
        found = []
        hurried = camera_id == EPHEMERAL and self.stressed == "matcher"
        for _ in range(BURST if hurried else NEW_A_PUSH):
            text, misread, colour, rightly = next(self.world.vehicles)
            found.append(Pass(camera_id, text, now, colour, rightly, misread))
        if camera_id != EPHEMERAL:
            self.passes += found
            self.world.plates += [one.plate for one in found]
        return found

    async def _send(
        self, camera_id: str, reads: list[tuple[Pass, int]], send: Callable[[list[dict[str, Any]]], Any]
    ) -> None:
        if not reads:
            return
        items = [one.read(number) for one, number in reads]
        for (one, _), item in zip(reads, items, strict=True):
            one.events.append(event_of(camera_id, item))
            one.sent_s = one.sent_s or time.monotonic()
        await send(items)
        now_s = time.monotonic()
        for one, _ in reads:
            one.acknowledged += 1
            one.late = one.late or now_s - (one.sent_s or now_s) > STRAGGLING_S
        self.reads += len(reads)

    def _pusher(self, key: str) -> Callable[[list[dict[str, Any]]], Coroutine[Any, Any, None]]:
        async def push(items: list[dict[str, Any]]) -> None:
            body = msgspec.json.encode(items)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            answer = await self._until_answered("gateway", "/v1/detections", body, headers, len(items))
            told = answer.json()
            faults = {f"{one['status']} {one.get('reason')}" for one in told["items"] if one["status"] != "accepted"}
            if faults and key != self.world.ephemeral[1]:  # such reads are dropped when they are a minute old
                self.refused.append(f"a push was answered {sorted(faults)}")

        return push

    def _writer(self, camera_id: str) -> Callable[[list[dict[str, Any]]], Coroutine[Any, Any, None]]:
        async def write(items: list[dict[str, Any]]) -> None:
            records = [(camera_id.encode(), msgspec.json.encode(item)) for item in items]
            await self._until_published(topics.inbox(NETWORK), records)

        return write

    async def _until_answered(
        self, service: str, path: str, body: bytes, headers: dict[str, str], number: int
    ) -> httpx.Response:
        """Post until the answer is one that says that it is done, as whoever pushes must."""
        while True:
            url = self.system.processes[service].url if service in self.system.processes else "http://127.0.0.1:9"
            self.waiting[service] += number
            try:
                answer = await self._client.post(url + path, content=body, headers=headers)
            except _LOST_ANSWERS:
                answer = None
            finally:
                self.waiting[service] -= number
            if answer is not None and answer.is_success:
                return answer
            if answer is not None and answer.status_code not in (429, 503, 500):
                raise AssertionError(f"{service} answers {answer.status_code}: {answer.text[:200]}")
            self.resent += number
            await asyncio.sleep(0.3)

    async def _until_published(self, topic: str, records: list[tuple[bytes, bytes]]) -> None:
        """Write until the broker has acknowledged all of it; a topic that does not exist yet is waited for."""
        while True:
            try:
                if not any(await self._publisher.publish(topic, records)):
                    return
            except Unavailable:
                pass
            self.resent += len(records)
            await asyncio.sleep(0.3)

    async def _rename(self) -> None:
        """Give cameras new names, one after the other, each in a transaction with its record for the stream."""
        connection: Any = None
        while not self._stop.is_set():
            one = self.world.rng.choice(self.world.renamed)
            try:
                if connection is None or connection.is_closed():
                    connection = await asyncpg.connect(self.system.database.url("platetrail_search"), timeout=10)
                async with connection.transaction():
                    found = await connection.fetchval(
                        "select revision from registry.camera where camera_id = $1", one.camera_id
                    )
                    changed = msgspec.structs.replace(one, revision=found + 1, name=f"Bridge, lane {found + 1}")
                    await put(connection, changed)
            except _OUTAGES:
                if connection is not None:
                    connection.terminate()
                connection = None
                await asyncio.sleep(0.3)
            await self._pause(0.1)
        if connection is not None:
            await connection.close()

    async def _operate(self) -> None:
        """Put dead letters back, one request after the other, while that service is the one to be stressed."""
        while not self._stop.is_set():
            if self.stressed == "deadletters":
                await self._put_back_some()
            await self._pause(0.05)

    async def _put_back_some(self) -> None:
        found = [self._letter(one) for one in self._arrivals(self.world.pushing[0][0].camera_id)]
        await self._until_published(
            topics.DEAD_LETTERS, [(deadletter.key(letter), wire.encode(letter)) for letter in found]
        )
        body = msgspec.json.encode(
            {
                "letter_ids": [str(letter.letter_id) for letter in found],
                "since": (datetime.now(UTC) - timedelta(minutes=2)).isoformat(),
                "note": "The camera is registered now.",
            }
        )
        headers = self.system.keys.bearer("operator-jo", OWNER, "camera_operator")
        headers["Content-Type"] = "application/json"
        answer = await self._until_answered("deadletters", "/v1/deadletters/replay", body, headers, len(found))
        if (told := answer.json()["counts"]) != {"replayed": len(found)}:
            self.refused.append(f"letters: {told}")

    async def _write_letters(self) -> None:
        """Write dead letters, as enricher and indexer do, while `counting` is to be met at work."""
        while not self._stop.is_set():
            if self.stressed == "counting":
                found = [self._bad_letter() for _ in range(LETTERS)]
                self.bad.update(letter.reason for letter in found)
                await self._until_published(
                    topics.DEAD_LETTERS, [(deadletter.key(letter), wire.encode(letter)) for letter in found]
                )
            await self._pause(0.05)

    def _bad_letter(self) -> DeadLetter:
        stage, reason = self.world.rng.choice(KINDS_OF_LETTERS)
        now = datetime.now(UTC)
        return DeadLetter(letter_id=uuid.uuid4(), stage=stage, reason=reason, at=now, camera_id="faults-0")

    async def _poison(self) -> None:
        """Write reads on which the enricher's function raises, while their letters belong to its transactions."""
        camera_id = self.world.pushing[0][0].camera_id
        while not self._stop.is_set():
            if self.system.transactional:
                event = event_id(camera_id, str(uuid.uuid4()))
                naive = datetime.now(UTC).replace(tzinfo=None)
                read = detection(camera_id=camera_id, owner=OWNER, event_id=event, captured_at=naive)
                self.bad["poisoned"] += 1
                await self._until_published(topics.DETECTIONS, [(camera_id.encode(), wire.encode(read))])
            await self._pause(0.1)

    def _letter(self, one: Pass) -> DeadLetter:
        """Return the dead letter of a vehicle's one read, as if its camera had been unknown."""
        one.rightly = (True,)
        one.events.append(event_of(one.camera_id, one.read(0)))
        one.acknowledged = 1
        made = detection(
            camera_id=one.camera_id,
            event_id=one.events[0],
            owner=OWNER,
            captured_at=one.captured_at,
            plate_raw=one.plate,
        )
        letter = deadletter.of_detection("enricher", "unknown_camera", made, datetime.now(UTC))
        self.put_back[letter.letter_id] = one
        self.reads += 1
        return letter

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
