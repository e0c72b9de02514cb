"""The demo's question, asked as an investigator would, and what came of it, held against what really happened."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.queries import Answer
from services.cli.client import Service
from services.cli.failures import NOT_SO, Failure
from services.simulate import truth as truths
from services.simulate.truth import Agreement, Asked, Truth
from services.simulate.vehicles import Vehicle
from services.simulate.world import ASKING, SILENT, World

CASE: Final = "DEMO-2026-0417"
PURPOSE: Final = {
    "code": "stolen_vehicle",
    "case_number": CASE,
    "authority": {"kind": "none"},
    "note": "Reported stolen by its owner; the demo asks for a vehicle that was made up.",
}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which vehicle is asked for, and the truth to compare with."""

    vehicle: Vehicle
    truth: Truth
    asked: Asked

    def body(self) -> dict[str, Any]:
        """Return the body of `POST /v1/trajectories`."""
        return {
            "plate": self.vehicle.plate,
            "match": "exact",
            "window": {"from": self.asked.start.isoformat(), "to": self.asked.end.isoformat()},
            "purpose": PURPOSE,
        }

    def expected(self) -> int:
        """Return how many passes the answer must hold."""
        return len(truths.expected(self.truth, self.asked))

    def compare(self, answer: Answer) -> Agreement:
        """Hold an answer against the truth."""
        return truths.agrees([point.pass_id for point in answer.points], self.truth, self.asked)


def choose(world: World, truth: Truth) -> Question:
    """Choose a vehicle that passed many cameras in two time zones, some of the silent agency's too. Raises Failure."""
    owners = world.owners_open_to(ASKING.agency_id)
    vehicle = truths.choose_vehicle(truth, truth.start, truth.now, owners, SILENT.agency_id)
    if vehicle is None:
        raise Failure("no vehicle of this world is worth asking for: try another --seed or more --vehicles", NOT_SO)
    asked = Asked(vehicle=vehicle.number, start=truth.start, end=truth.now, owners=owners)
    return Question(vehicle=vehicle, truth=truth, asked=asked)


def ask(question: Question, url: str, token: str) -> Answer:
    """Ask over HTTP, as everybody does. Raises Failure."""
    with Service("search", url, token) as service:
        return msgspec.json.decode(service.post("/v1/trajectories", question.body()), type=Answer)


def faults(answer: Answer, agreement: Agreement, silent_rows: int) -> list[str]:
    """Return what is wrong, in words; nothing if the answer agrees with the truth and with the owners' rules."""
    found = [f"{name}: {len(what)}" for name, what in _lists(agreement).items() if what]
    if answer.withheld.owners != 1:
        found.append(f"withheld owners: {answer.withheld.owners}, not 1")
    if answer.complete:
        found.append("the answer calls itself complete, though an owner was withheld")
    if agreement.withheld == 0:
        found.append("nothing was withheld, so nothing is shown about withholding")
    if silent_rows:
        found.append(f"the gate gave {silent_rows} reads of an owner that grants nothing")
    return found


def mistaken(number: int) -> str:
    """Return a sentence about points that are not the vehicle's, though their plate is."""
    if number == 1:
        return "1 of the points is another vehicle that was misread into this plate"
    return f"{number} of the points are other vehicles that were misread into this plate"


def undecided(number: int) -> str:
    """Return a sentence about points that are the vehicle's, though one of their reads has another plate."""
    if number == 1:
        return "1 of the points is a pass whose reads disagree: their vote was right, and might not have been"
    return f"{number} of the points are passes whose reads disagree: their votes were right, and might not have been"


def _lists(agreement: Agreement) -> Mapping[str, tuple[Any, ...]]:
    names = ("missing", "foreign", "forbidden", "outside", "unknown", "other_text", "repeated")
    return {name.replace("_", " "): getattr(agreement, name) for name in names}


def zones(answer: Answer) -> set[str]:
    """Return the UTC offsets of the points' local times."""
    return {f"{datetime.fromisoformat(point.local_time):%z}" for point in answer.points}
