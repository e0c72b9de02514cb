"""The demo's verdict: whatever disagrees with the truth, or with the owners' rules, is named."""

import uuid
from typing import Any

import msgspec
import pytest

from schemas import owners
from schemas.queries import Withheld
from services.demo.fleet import OWNERS_FILE
from services.demo.question import faults
from services.simulate.truth import Agreement
from services.simulate.world import AGENCIES, ASKING, SILENT, build
from tests.unit.services.answers import answer

AGREES = Agreement(
    expected=6,
    answered=6,
    withheld=2,
    missing=(),
    foreign=(),
    forbidden=(),
    outside=(),
    unknown=(),
    other_text=(),
    repeated=(),
    mistaken=(),
    undecided=(),
)
ONE = uuid.UUID(int=7)


def test_an_answer_that_agrees_has_no_faults() -> None:
    assert faults(answer(), AGREES, 0) == []


def test_vehicles_misread_into_the_plate_are_no_fault() -> None:
    assert faults(answer(), msgspec.structs.replace(AGREES, mistaken=(ONE,), undecided=(ONE,)), 0) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"missing": (3,)}, "missing: 1"),
        ({"foreign": (ONE,)}, "foreign: 1"),
        ({"forbidden": (ONE,)}, "forbidden: 1"),
        ({"outside": (ONE,)}, "outside: 1"),
        ({"unknown": (ONE, ONE)}, "unknown: 2"),
        ({"other_text": (ONE,)}, "other text: 1"),
        ({"repeated": (3,)}, "repeated: 1"),
        ({"withheld": 0}, "nothing was withheld"),
    ],
)
def test_each_disagreement_is_named(change: dict[str, Any], word: str) -> None:
    (fault,) = faults(answer(), msgspec.structs.replace(AGREES, **change), 0)
    assert word in fault


def test_withholding_must_be_said() -> None:
    assert "calls itself complete" in " ".join(faults(answer(complete=True), AGREES, 0))
    two = msgspec.structs.replace(answer(), withheld=Withheld(owners=2, reasons={"no_grant": 2}))
    assert faults(two, AGREES, 0) == ["withheld owners: 2, not 1"]


def test_reads_of_the_silent_owner_from_the_gate_are_a_fault() -> None:
    assert faults(answer(), AGREES, 3) == ["the gate gave 3 reads of an owner that grants nothing"]


def test_the_demos_rules_are_those_of_its_world() -> None:
    rules, world = owners.load(OWNERS_FILE), build(1)
    for agency in AGENCIES:
        ours, worlds = rules.grant(agency.agency_id), world.owner_rules().grant(agency.agency_id)
        assert set(ours.agencies) == set(worlds.agencies)
        if ours.agencies:
            assert set(ours.purposes) == set(worlds.purposes)
        assert ours.days == worlds.days
    assert rules.grant(SILENT.agency_id).agencies == ()
    assert ASKING.agency_id in world.owners_open_to(ASKING.agency_id)
