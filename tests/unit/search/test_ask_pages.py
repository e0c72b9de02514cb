"""Pages and repeated requests: what they show together, what they leave in the log, and who may ask for them."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.queries import Asker
from search import questions
from search.audit.errors import LogUnavailable
from search.errors import Conflict, Forbidden, Invalid, Unavailable
from tests.support.doors import BEGIN, PLATE, World, read, request

COLLEAGUE = Asker(person="robin", agency="north", roles=frozenset({"investigator"}))


def drive() -> list[Any]:
    """Return twelve reads: some are of one pass, and one leg is impossible."""
    times = [0, 10, 20, 600, 610, 1200, 1201, 1230, 1800, 2400, 2410, 3000]
    return [read(at, camera_id=f"cam-{at // 600}", latitude=38 + 0.01 * (at // 600) + 2 * (at > 2900)) for at in times]


async def pages(world: World, **changes: Any) -> list[dict[str, Any]]:
    """Ask, and go on until there is no next page."""
    answers = [await world.ask(**changes)]
    while answers[-1]["next"]:
        answers.append(await world.ask(**changes, cursor=answers[-1]["next"]))
    return answers


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 11, 12, 1000])
async def test_pages_together_are_the_whole(limit: int) -> None:
    world = World(*drive(), owners=("north",))
    whole = await world.ask()
    parts = await pages(world, limit=limit)
    shown = [point["pass_id"] for part in parts for point in part["points"]]
    assert shown == [point["pass_id"] for point in whole["points"]]
    assert [leg for part in parts for leg in part["legs"]] == whole["legs"]
    assert [split for part in parts for split in part["splits"]] == whole["splits"] != []
    assert [part["complete"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) == -(-12 // limit)


async def test_each_page_is_recorded_under_the_intent() -> None:
    world = World(*drive())
    first, second, *_ = await pages(world, limit=5)
    assert world.events == ["intent", "read", "outcome"] + ["page", "read", "outcome"] * 2
    assert (first["intent"], second["intent"]) == (0, 0)
    assert (second["receipt"]["index"], second["outcome"]) == (2, 3)
    assert base64.b64decode(second["receipt"]["leaf"]) == world.tables.leaves[2]
    page = world.log.entries[2]
    assert (page.public["intent"], page.public["agency"]) == (0, "north")
    asked, then = world.disclosed(0)["question"], world.disclosed(2)["question"]
    last = drive()[4]
    assert then.pop("after")["captured_at"] == last.captured_at.isoformat(timespec="microseconds").replace(
        "+00:00", "Z"
    )
    assert asked.pop("after") is None
    assert then == asked
    salts = [entry.disclosures[0].salt for entry in (world.log.entries[0], page)]
    assert salts[0] != salts[1]
    assert world.log.entries[3].ends == 2


async def test_a_page_is_found_by_the_same_person_and_case_as_its_intent() -> None:
    world = World(*drive())
    await pages(world, limit=5)
    intent, page = world.log.entries[0], world.log.entries[2]
    assert {look for look in intent.lookups if look.field in ("person", "case")} == set(page.lookups)
    assert len(page.lookups) == 2
    assert world.disclosed(2)["person"] == world.disclosed(0)["person"]


async def test_a_page_is_decided_afresh() -> None:
    world = World(*drive())
    first = await world.ask(limit=5)
    world.owners._owners = frozenset({"south", "west"})  # ours has no camera any more, and south lets us ask
    second = await world.ask(limit=5, cursor=first["next"])
    assert second["points"] == []
    assert world.log.entries[2].public["decisions"] == {"permit": 1, "deny": 1}


async def test_a_failed_page_has_its_end() -> None:
    world = World(*drive())
    first = await world.ask(limit=5)
    world.index.error = Unavailable()
    with pytest.raises(Unavailable):
        await world.ask(limit=5, cursor=first["next"])
    assert world.events[-2:] == ["page", "failure"]
    assert world.log.entries[-1].ends == 2


async def test_a_cursor_shows_nothing() -> None:
    world = World(*drive())
    cursor = (await world.ask(limit=5))["next"]
    opened = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for word in (PLATE, "K1M4711", "alex", "cam-", "2026", str(drive()[4].pass_id)):
        assert word.encode() not in opened


async def test_a_cursor_is_one_persons() -> None:
    world = World(*drive())
    cursor = (await world.ask(limit=5))["next"]
    with pytest.raises(Forbidden):
        await world.ask(COLLEAGUE, limit=5, cursor=cursor)
    assert world.events == ["intent", "read", "outcome"]


@pytest.mark.parametrize(
    "change",
    [
        {"plate": "KLM4712"},
        {"match": "lookalike"},
        {"limit": 6},
        {"region": "US-MO"},
        {"purpose": msgspec.structs.replace(request().purpose, case_number="2026-004712")},
        {"window": msgspec.structs.replace(request().window, to=BEGIN + timedelta(days=1, seconds=1))},
    ],
)
async def test_a_cursor_is_one_questions(change: dict[str, Any]) -> None:
    world = World(*drive())
    cursor = (await world.ask(limit=5))["next"]
    with pytest.raises(Invalid) as raised:
        await world.ask(**{"limit": 5, **change}, cursor=cursor)
    assert [flaw.pointer for flaw in raised.value.flaws] == ["/cursor"]
    assert world.events == ["intent", "read", "outcome"]


async def test_an_altered_cursor_is_refused() -> None:
    world = World(*drive())
    cursor = (await world.ask(limit=5))["next"]
    for place in (*range(0, len(cursor), 7), len(cursor) - 1):
        other = cursor[:place] + chr(ord(cursor[place]) ^ 1) + cursor[place + 1 :]
        with pytest.raises(Invalid):
            await world.ask(limit=5, cursor=other)
    for other in ("", "x", "é", "=", cursor[:-4], cursor + "AAAA", "A" * 4096):
        with pytest.raises(Invalid):
            await world.ask(limit=5, cursor=other)


async def test_a_cursor_expires() -> None:
    world = World(*drive())
    cursor = (await world.ask(limit=5))["next"]
    world.offset = timedelta(minutes=59)
    assert (await world.ask(limit=5, cursor=cursor))["points"]
    world.offset = timedelta(minutes=61)
    with pytest.raises(Invalid):
        await world.ask(limit=5, cursor=cursor)


async def test_the_longest_cursor_fits_into_a_body() -> None:
    world = World(*(read(at / 10, camera_id=f"cam-{at}", plate=PLATE) for at in range(200)), owners=("north",))
    cursor = (await world.ask(limit=150))["next"]
    body = msgspec.json.encode(request(limit=150, cursor=cursor))
    assert len(questions.decode(body).cursor or "") == len(cursor)


async def test_at_most_ten_thousand_points() -> None:
    world = World(*(read(at, camera_id=f"cam-{at}", plate=PLATE) for at in range(10_001)), owners=("north",))
    answers = await pages(world, limit=999)
    assert sum(len(answer["points"]) for answer in answers) == 10_000
    assert len(answers[-1]["points"]) == 10
    assert (answers[-1]["next"], answers[-1]["complete"]) == (None, False)


# Repeated requests.


async def test_a_repeated_request_is_a_page_of_the_first() -> None:
    world = World(*drive())
    first = await world.ask(key="once")
    second = await world.ask(key="once")
    assert second["points"] == first["points"]
    assert (second["intent"], second["receipt"]["index"]) == (first["intent"], 2)
    assert world.events == ["intent", "read", "outcome", "page", "read", "outcome"]


async def test_a_key_is_one_persons() -> None:
    world = World(*drive())
    await world.ask(key="once")
    await world.ask(COLLEAGUE, key="once")
    assert world.events.count("intent") == 2


async def test_a_key_is_one_bodys() -> None:
    world = World(*drive())
    await world.ask(key="once")
    with pytest.raises(Invalid):
        await world.ask(key="once", limit=7)
    assert world.events.count("intent") == 1


async def test_a_page_needs_no_key() -> None:
    world = World(*drive())
    first = await world.ask(key="once", limit=5)
    await world.ask(key="once", limit=5, cursor=first["next"])
    assert world.events.count("intent") == 1


async def test_while_the_first_is_running() -> None:
    world = World(*drive())
    world.index.held = True
    asking = asyncio.create_task(world.ask(key="once"))
    await world.index.begun.wait()
    with pytest.raises(Conflict) as raised:
        await world.ask(key="once")
    assert raised.value.headers() == {"Retry-After": "1"}
    world.index.go.set()
    await asking
    assert (await world.ask(key="once"))["intent"] == 0
    assert world.events.count("intent") == 1


async def test_a_refused_request_stays_refused_under_its_intent() -> None:
    world = World(owners=("west",))
    for _ in range(2):
        with pytest.raises(Forbidden):
            await world.ask(key="once")
    assert world.events == ["intent", "denial", "page", "denial"]


async def test_after_a_failure_the_same_intent_is_answered() -> None:
    world = World(*drive())
    world.index.error = Unavailable()
    with pytest.raises(Unavailable):
        await world.ask(key="once")
    world.index.error = None
    assert (await world.ask(key="once"))["points"]
    assert world.events == ["intent", "failure", "page", "read", "outcome"]


async def test_if_the_intent_was_not_recorded_the_key_is_free_again() -> None:
    world = World(*drive())
    world.log.broken = {"intent"}
    with pytest.raises(Unavailable):
        await world.ask(key="once")
    world.log.broken = set()
    assert (await world.ask(key="once"))["intent"] == 0
    assert world.events.count("intent") == 1


async def test_if_it_was_recorded_though_nobody_was_told_it_is_found() -> None:
    """The log's answer is lost after the commit: the worst that a broken connection can do."""
    world = World(*drive())
    append = world.log.append

    async def lose(entry: Any) -> Any:
        await append(entry)
        raise LogUnavailable("lost")

    world.log.append = lose  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.ask(key="once")
    world.log.append = append  # type: ignore[method-assign]
    assert (await world.ask(key="once"))["intent"] == 0
    assert world.events == ["intent", "page", "read", "outcome"]


async def test_a_process_that_died_after_its_claim() -> None:
    world = World(*drive())
    held = await world.parts.keys.hold("alex", "once", request())
    assert held.intent is None
    with pytest.raises(Conflict):
        await world.ask(key="once")
    world.offset = timedelta(seconds=31)
    assert (await world.ask(key="once"))["intent"] == 0


async def test_a_process_that_died_after_its_intent() -> None:
    world = World(*drive())
    world.claims.broken = True  # the claim stays as a killed process leaves it
    world.log.broken = {"outcome"}
    with pytest.raises(Unavailable):
        await world.ask(key="once")
    world.log.broken = set()
    with pytest.raises(Conflict):
        await world.ask(key="once")
    world.offset = timedelta(seconds=31)
    assert (await world.ask(key="once"))["intent"] == 0
    assert world.events == ["intent", "read", "page", "read", "outcome"]


async def test_of_two_that_find_a_lost_claim_one_asks() -> None:
    world = World(*drive())
    await world.parts.keys.hold("alex", "once", request())
    world.offset = timedelta(seconds=31)
    answers = await asyncio.gather(*(world.ask(key="once") for _ in range(5)), return_exceptions=True)
    assert world.events.count("intent") == 1
    assert {type(answer) for answer in answers} <= {dict, Conflict}


async def test_after_a_day_a_key_is_new() -> None:
    world = World(*drive())
    await world.ask(key="once")
    world.offset = timedelta(hours=24, seconds=1)
    await world.ask(key="once")
    await world.ask(key="once")
    assert world.events == ["intent", "read", "outcome"] * 2 + ["page", "read", "outcome"]
    assert world.log.entries[-2].public["intent"] == 2
