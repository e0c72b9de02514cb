"""The door for questions: in which order things happen, and what happens when one of them does not."""

import asyncio
import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from schemas.entries import OPENING, Entry
from search.ask import Door, NobodyPermits
from search.audit.errors import LogBusy
from search.audit.merkle import leaf_hash, root_of
from search.audit.ports import Appended
from search.errors import Forbidden, Unavailable
from search.policy import decide
from search.ports import Row
from tests.support.doors import BEGIN, INVESTIGATOR, PLATE, RULES, World, read, request
from tests.support.rows import row


def journey() -> list[Row]:
    """Return four reads: two owners of ours, one that withholds, one owner twice."""
    return [
        read(0, camera_id="cam-1"),
        read(3600, camera_id="cam-2", owner="south", latitude=38.2),
        read(7200, camera_id="cam-3", owner="west", latitude=38.4),
        read(10800, camera_id="cam-4", latitude=38.6),
    ]


def without_end(world: World) -> list[int]:
    """Return intents and pages that have no end."""
    opened = [index for index, entry in enumerate(world.log.entries) if entry.kind in OPENING]
    return [index for index in opened if index not in world.tables.ended]


async def test_recorded_before_it_is_read_and_ended_before_it_is_answered() -> None:
    world = World(*journey())
    answer = await world.ask()
    assert world.events == ["intent", "read", "outcome"]
    assert (answer["intent"], answer["outcome"]) == (0, 1)
    assert without_end(world) == []


async def test_the_answer() -> None:
    rows = journey()
    world = World(*rows)
    answer = await world.ask()
    assert answer["status"] == "UNVERIFIED LEAD"
    assert [point["pass_id"] for point in answer["points"]] == [
        str(rows[0].pass_id),
        str(rows[1].pass_id),
        str(rows[3].pass_id),
    ]
    assert [leg["impossible"] for leg in answer["legs"]] == [False, False]
    assert answer["splits"] == []
    assert answer["limits"] == {"min_distance_m": 300.0, "position_tolerance_m": 100.0, "max_speed_kmh": 250.0}
    assert answer["withheld"] == {"owners": 1, "reasons": {"no_grant": 1}}
    assert answer["complete"] is False
    assert answer["next"] is None


async def test_complete_if_nobody_withholds_and_nothing_is_cut() -> None:
    world = World(read(0), read(60), owners=("north", "south"))
    assert (await world.ask())["complete"] is True
    assert (await world.ask(limit=1))["complete"] is False


async def test_the_receipt_is_the_intents() -> None:
    world = World(*journey())
    await world.ask()
    receipt = (await world.ask())["receipt"]
    leaf = base64.b64decode(receipt["leaf"])
    assert leaf == world.tables.leaves[2]
    assert (receipt["index"], receipt["size"]) == (2, 3)
    assert receipt["root"] == root_of(map(leaf_hash, world.tables.leaves[:3])).hex()


async def test_what_an_intent_says() -> None:
    world = World(*journey())
    before = datetime.now(UTC)
    await world.ask()
    entry = world.log.entries[0]
    public: dict[str, Any] = dict(entry.public)
    assert before <= datetime.fromisoformat(public.pop("at")) <= datetime.now(UTC)
    assert public == {
        "type": "trajectory",
        "agency": "north",
        "purpose": "stolen_vehicle",
        "authority": "warrant",
        "trigger": "human",
        "match": "exact",
        "format": "json",
        "breadth": {"owners": 2, "days": 2},
        "decisions": {"permit": 2, "deny": 1},
        "policy": RULES.digest.hex(),
    }
    secret = world.disclosed(0)
    question = secret.pop("question")
    decisions = decide(RULES, INVESTIGATOR.agency, "stolen_vehicle", ["north", "south", "west"])
    assert secret == {
        "person": "alex",
        "case_number": "2026-004711",
        "authority_reference": "SW-118",
        "offence": "18-4-102",
        "note": "the van of the burglary in Elm Street",
        "decisions": root_of(map(leaf_hash, decisions.leaves())).hex(),
    }
    assert question == {
        "type": "trajectory",
        "plate": PLATE,
        "plate_key": "K1M4711",
        "match": "exact",
        "region": None,
        "from": (BEGIN - timedelta(hours=1)).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "to": (BEGIN + timedelta(days=1)).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "scope": hashlib.sha256(decisions.scope_body).hexdigest(),
        "limit": 1000,
        "after": None,
    }
    mac = world.lookups.mac
    assert {(item.field, item.mac) for item in entry.lookups} == {
        ("person", mac("person", "alex")),
        ("case", mac("case", "2026-004711")),
        ("plate", mac("plate", PLATE)),
        ("plate_key", mac("plate_key", "K1M4711")),
    }


async def test_what_an_outcome_says() -> None:
    rows = journey()
    world = World(*rows)
    raw = await world.door.trajectory(INVESTIGATOR, request())
    entry = world.log.entries[1]
    assert (entry.kind, entry.ends) == ("outcome", 0)
    assert {name: entry.public[name] for name in ("intent", "rows", "points", "withheld")} == {
        "intent": 0,
        "rows": 3,
        "points": 3,
        "withheld": 1,
    }
    secret = world.disclosed(1)
    assert secret["delivered"] == [str(one.pass_id) for one in (rows[0], rows[1], rows[3])]
    points = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["points"])
    assert secret["result"] == hashlib.sha256(points).hexdigest()
    assert [item.mac for item in entry.lookups] == [world.lookups.mac("delivered_key", "K1M4711")]


async def test_no_leaf_names_person_plate_or_case() -> None:
    world = World(*journey())
    await world.ask(key="key-1")
    await world.ask(key="key-1")
    world.index.error = Unavailable()
    with pytest.raises(Unavailable):
        await world.ask()
    with pytest.raises(NobodyPermits):
        await World(owners=("west",)).ask()
    everything = b"".join(world.tables.leaves)
    for word in (b"alex", PLATE.encode(), b"K1M4711", b"4711", b"SW-118", b"18-4-102", b"Elm", b"key-1"):
        assert word not in everything


async def test_two_reads_of_one_pass_are_one_point() -> None:
    world = World(read(0), read(20), read(40))
    answer = await world.ask()
    assert [point["reads"] for point in answer["points"]] == [2, 1]
    assert world.log.entries[1].public["rows"] == 3
    assert world.log.entries[1].public["points"] == 2


@pytest.mark.parametrize("part", ["owners", "log"])
async def test_nothing_is_read_if_nothing_can_be_recorded(part: str) -> None:
    world = World(*journey())
    if part == "owners":
        world.owners.down = True
    else:
        world.log.broken = {"intent"}
    with pytest.raises(Unavailable) as raised:
        await world.ask()
    assert raised.value.headers() == {"Retry-After": "1"}
    assert world.events == []
    assert world.index.reads == 0


async def test_a_full_queue_is_unavailable() -> None:
    world = World(*journey())

    async def refuse(entry: Entry) -> Appended:
        raise LogBusy("queue")

    world.log.append = refuse  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.ask()
    assert world.index.reads == 0


@pytest.mark.parametrize(("error", "reason"), [(Unavailable(), "index_unavailable"), (RuntimeError(PLATE), "internal")])
async def test_a_failed_read_has_its_end(error: Exception, reason: str) -> None:
    world = World(*journey())
    world.index.error = error
    with pytest.raises(Unavailable) as raised:
        await world.ask()
    assert PLATE not in str(raised.value)
    assert raised.value.__cause__ is None
    assert world.events == ["intent", "failure"]
    assert (world.log.entries[1].ends, world.log.entries[1].public["reason"]) == (0, reason)


async def test_a_row_that_cannot_be_shown_is_a_failure() -> None:
    world = World(read(0, timezone="Nowhere/Land"))
    with pytest.raises(Unavailable):
        await world.ask()
    assert world.events == ["intent", "read", "failure"]
    assert world.log.entries[1].public["reason"] == "internal"


async def test_without_a_durable_end_nothing_leaves() -> None:
    world = World(*journey())
    world.log.broken = {"outcome"}
    with pytest.raises(Unavailable):
        await world.ask()
    assert world.events == ["intent", "read"]
    assert without_end(world) == [0]  # the sweeper's


async def test_an_end_that_the_sweeper_wrote_first_stops_the_answer() -> None:
    world = World(*journey())
    world.log.held = {"outcome"}
    asking = asyncio.create_task(world.ask())
    await world.index.begun.wait()
    await asyncio.sleep(0)
    world.tables.ended[0] = 99
    world.log.go.set()
    with pytest.raises(Unavailable):
        await asking


async def test_a_failure_that_cannot_be_recorded_is_unavailable_all_the_same() -> None:
    world = World(*journey())
    world.index.error = Unavailable()
    world.log.broken = {"failure"}
    with pytest.raises(Unavailable):
        await world.ask()
    assert without_end(world) == [0]


async def test_time_runs_out_before_the_record() -> None:
    world = World(*journey(), budget_s=0.05)
    world.log.held = {"intent"}
    with pytest.raises(Unavailable):
        await world.ask()
    await world.door.drain()
    world.log.go.set()
    await asyncio.sleep(0.01)
    assert world.events == []  # not recorded later either: nobody waits for it


async def test_time_runs_out_in_the_read() -> None:
    world = World(*journey(), budget_s=0.05)
    world.index.held = True
    with pytest.raises(Unavailable):
        await world.ask()
    await world.door.drain()
    assert world.events == ["intent", "failure"]
    assert world.log.entries[1].public["reason"] == "out_of_time"


async def test_what_comes_too_late_is_a_failure_and_not_delivered() -> None:
    world = World(*journey(), budget_s=0.05)
    read_page = world.index.trajectory

    async def late(entry: int, disclosure: bytes) -> list[Row]:
        rows = await read_page(entry, disclosure)
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is held up, as by a long collection of garbage
        return rows

    world.index.trajectory = late  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.ask()
    await world.door.drain()
    assert world.events == ["intent", "read", "failure"]
    assert world.log.entries[1].public["reason"] == "out_of_time"


async def test_time_runs_out_before_the_decision() -> None:
    world = World(*journey(), budget_s=0.05)
    known = world.owners.known

    async def late() -> frozenset[str]:
        await asyncio.Event().wait()
        return await known()

    world.owners.known = late  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.ask()
    await world.door.drain()
    assert world.events == []


async def test_too_many_at_once_are_told_to_come_back() -> None:
    world = World(*journey())
    world.door = Door(world.parts, at_once=2)
    world.index.held = True
    asking = [asyncio.create_task(world.ask()) for _ in range(2)]
    await world.index.begun.wait()
    with pytest.raises(Unavailable):
        await world.ask()
    world.index.go.set()
    await asyncio.gather(*asking)
    assert world.events.count("intent") == 2
    await world.ask()


@pytest.mark.parametrize("role", ["camera_operator", "auditor"])
async def test_only_investigators_ask(role: str) -> None:
    world = World(*journey())
    with pytest.raises(Forbidden):
        await world.ask(msgspec.structs.replace(INVESTIGATOR, roles=frozenset({role})))
    assert world.events == []


async def test_a_client_that_goes_leaves_an_end() -> None:
    world = World(*journey())
    world.index.held = True
    asking = asyncio.create_task(world.ask())
    await world.index.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    world.index.go.set()
    await world.door.drain()
    assert world.events == ["intent", "read", "outcome"]


async def test_nobody_permits() -> None:
    world = World(*journey(), owners=("west", "east", "south"))
    with pytest.raises(NobodyPermits) as raised:
        await world.ask(purpose=msgspec.structs.replace(request().purpose, code="missing_person"))
    assert world.events == ["intent", "denial"]
    assert world.index.reads == 0
    assert (world.log.entries[1].ends, world.log.entries[1].public["reason"]) == (0, "nobody_permits")
    problem = msgspec.json.decode(raised.value.problem().body())
    assert (problem["status"], problem["title"], problem["intent"]) == (403, "Not permitted", 0)
    assert problem["withheld"] == {"owners": 3, "reasons": {"no_grant": 2, "purpose": 1}}
    assert base64.b64decode(problem["receipt"]["leaf"]) == world.tables.leaves[0]


async def test_a_denial_that_cannot_be_recorded_is_unavailable() -> None:
    world = World(owners=("west",))
    world.log.broken = {"denial"}
    with pytest.raises(Unavailable):
        await world.ask()
    assert world.index.reads == 0


async def test_many_at_once_have_an_end_each() -> None:
    world = World(*journey())
    answers = await asyncio.gather(*(world.ask() for _ in range(20)))
    assert sorted(answer["intent"] for answer in answers) == [
        index for index, entry in enumerate(world.log.entries) if entry.kind == "intent"
    ]
    assert without_end(world) == []


async def test_geojson_is_recorded_as_such() -> None:
    world = World(*journey())
    answer = msgspec.json.decode(await world.door.trajectory(INVESTIGATOR, request(), "geojson"))
    assert answer["type"] == "FeatureCollection"
    assert answer["receipt"]["index"] == 0
    assert world.log.entries[0].public["format"] == "geojson"


async def test_a_lookalike_is_found_when_it_is_asked_for_and_says_so() -> None:
    like = row(plate="KIM4711", captured_at=BEGIN)
    world = World(like)
    assert (await world.ask())["points"] == []
    (point,) = (await world.ask(match="lookalike"))["points"]
    assert (point["match"], point["doubts"]) == ("lookalike", ["lookalike"])
