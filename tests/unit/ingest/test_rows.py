"""Rows of the index are checked before a whole batch could fail on one."""

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ingest.adapters import sql
from ingest.rows import AHEAD, COLUMNS, Row, Unfit, kept, newest, ordered, rows
from schemas import tables
from schemas.detections import Candidate, Crop
from schemas.owners import Grant, OwnerRules
from schemas.sightings import Trait
from tests.support.detections import NOW, sighting


def test_a_row_has_every_column_of_the_table_once() -> None:
    assert sorted(COLUMNS) == sorted(tables.SIGHTING.c.keys())
    for statement in (sql.CREATE_INCOMING, sql.INSERT_FRESH, sql.UPSERT):
        assert all(column in statement for column in COLUMNS)


def test_a_row_says_what_the_sighting_says() -> None:
    item = sighting(
        revision=3,
        candidates=(Candidate(plate="ABC0000", confidence=0.5),),
        make=Trait(value="bmw", confidence=0.25, code="BMW", said="B.M.W."),
        colour=Trait(value="white"),
        body=Trait(value="other", said="ute"),
        doubts=("low_confidence", "clock_skew"),
        crop=Crop(sha256="5e" * 32),
    )
    [row] = rows([item])
    said = dict(zip(COLUMNS, row.values, strict=True))
    assert row.key == (item.pass_id, item.captured_at, item.plate_key)
    assert (row.revision, said["revision"]) == (3, 3)
    assert said["candidates"] == b'[{"plate":"ABC0000","confidence":0.5}]'
    assert (said["make"], said["make_confidence"]) == ("bmw", 0.25)
    assert (said["colour"], said["colour_confidence"]) == ("white", None)
    assert (said["body"], said["body_confidence"]) == ("other", None)
    assert (said["model"], said["model_confidence"]) == (None, None)
    assert said["said"] == b'{"make":"B.M.W.","body":"ute"}'
    assert said["crop"] == b"^" * 32
    assert said["doubts"] == "low_confidence,clock_skew"
    assert (said["latitude"], said["owner"], said["plate"]) == (42.3601, "north", "ABC0000")
    bare = dict(zip(COLUMNS, rows([sighting()])[0].values, strict=True))
    assert (bare["doubts"], bare["said"], bare["crop"]) == (None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"plate_raw": "x" * 33},
        {"make": Trait(value="m" * 41)},
        {"candidates": (Candidate(plate="x" * 2000, confidence=0.5),)},
        {"crop": Crop(sha256="5e" * 31)},
        {"crop": Crop(sha256="5E" * 32)},
        {"model": Trait(value="x3", said="x" * 41)},
        {"model": Trait(value="x3", said="🚗" * 17)},
        {"body": Trait(value="suv", confidence=1.5)},
        {"plate_confidence": float("nan")},
        {"region_confidence": -0.1},
        {name: Trait(value="other", said="\x01" * 40) for name in ("make", "colour", "body")},
        {"lane": 40_000},
        {"normaliser_version": 40_000},
        {"clock_uncertainty_s": 1e39},
        {"owner": "o" * 2400},
        {"plate_raw": "Ж" * 32, "camera_id": "🚗" * 600},
        {"revision": -1},
        {"revision": 2**31},
        {"heading_deg": 1e300},
        {"captured_at": NOW.replace(tzinfo=None)},
        {"received_at": NOW.replace(tzinfo=None)},
        {"received_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
    ],
)
def test_what_the_table_would_refuse_is_refused_without_being_quoted(changes: dict[str, Any]) -> None:
    with pytest.raises(Unfit) as refusal:
        rows([sighting(**changes)])
    assert not [value for value in changes.values() if str(value) in str(refusal.value)]


def test_a_sighting_past_its_owners_days_by_now_makes_no_row() -> None:
    rules = OwnerRules(owners={"north": Grant(days=21)})
    edge = NOW - timedelta(days=21)
    items = [
        sighting(0, captured_at=edge),
        sighting(1, captured_at=edge + timedelta(microseconds=1)),
        sighting(2, captured_at=edge, owner="another"),
    ]
    assert kept(rules, NOW, items) == [None, *rows(items[1:])]
    with pytest.raises(Unfit):
        kept(rules, NOW, [*items, sighting(revision=-1)])


def test_a_sighting_from_the_future_is_set_aside() -> None:
    edge = NOW + AHEAD
    items = [sighting(0, captured_at=edge), sighting(1, captured_at=edge + timedelta(microseconds=1))]
    assert kept(OwnerRules(), NOW, items[:1]) == rows(items[:1])
    with pytest.raises(Unfit):
        kept(OwnerRules(), NOW, items)


def test_of_one_key_the_highest_revision_is_kept() -> None:
    first, second, other = rows([sighting(0), sighting(0, revision=1), sighting(1)])
    assert set(newest([first, second, other])) == set(newest([second, first, other])) == {second, other}


def test_keeping_the_newest_does_not_depend_on_the_order() -> None:
    batch = rows([sighting(number, revision=revision) for number in range(5) for revision in range(5)])
    want: set[Row] = set(newest(batch))
    for seed in range(20):
        random.Random(seed).shuffle(batch)
        assert set(newest(batch)) == want


def test_rows_are_written_in_one_order_whatever_the_order_they_came_in() -> None:
    batch = rows([sighting(number, captured_at=NOW, plate_key=f"K{number % 3}") for number in range(20)])
    want = ordered(batch)
    for seed in range(5):
        random.Random(seed).shuffle(batch)
        assert ordered(batch) == want
    early = rows([sighting(30, captured_at=NOW - timedelta(days=1), plate_key="Z")])
    assert ordered([*want, *early]) == [*early, *want]
