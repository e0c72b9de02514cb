"""A question, its purpose, and the answer to it."""

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal, get_args

import msgspec

from schemas.detections import Candidate, Crop, Position
from schemas.sightings import Trait

PurposeCode = Literal[
    "stolen_vehicle",
    "missing_person",
    "wanted_person",
    "violent_crime",
    "property_crime",
    "traffic_crime",
    "public_safety_emergency",
    "internal_audit",
]

PURPOSES: Final[dict[PurposeCode, str]] = {
    "stolen_vehicle": "Find a vehicle that its owner or holder has reported stolen, or its plates.",
    "missing_person": "Find a person reported missing, by the vehicle they are believed to travel in.",
    "wanted_person": "Find a person for whom an arrest warrant is in force, by a vehicle linked to them in the case.",
    "violent_crime": "Investigate a reported crime against a person: homicide, assault, robbery, abduction, rape.",
    "property_crime": "Investigate a reported burglary, theft, fraud or damage to property.",
    "traffic_crime": "Investigate a crime of driving, such as a hit and run; not parking, tolls or registration.",
    "public_safety_emergency": "Avert an immediate danger to life, where waiting for a case to be opened costs lives.",
    "internal_audit": "Check the system itself or the conduct of its users, under an audit that is on file.",
}
"""What each purpose covers. The list is closed: a reason that is none of these is not a reason to look."""

assert set(PURPOSES) == set(get_args(PurposeCode))

AuthorityKind = Literal["none", "consent", "warrant", "court_order", "exigent"]
Match = Literal["exact", "lookalike"]
Role = Literal["investigator", "camera_operator", "auditor"]
Trigger = Literal["human", "alert", "api"]

MAX_WINDOW_DAYS: Final = 31
MAX_LIMIT: Final = 1000
MAX_POINTS: Final = 10_000
"""Most points that one question can deliver over all its pages (its secret part lists them)."""

Doubt = Literal[
    "low_confidence",
    "lookalike",
    "region_conflict",
    "attributes_disagree",
    "clock_skew",
    "position_disagrees",
    "implausible_format",
    "arrival_time",
]

ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Authority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The legal authority of a question and, where it has one, its reference (a warrant's or order's number)."""

    kind: AuthorityKind
    reference: ShortText | None = None


class Purpose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why someone asks (Cal. Civ. Code 1798.90.52: the access record holds the purpose)."""

    code: PurposeCode
    case_number: ShortText
    authority: Authority
    offence: ShortText | None = None
    note: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A half-open span of capture time: `from` is inside, `to` is not."""

    from_: datetime
    to: datetime


class TrajectoryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/trajectories`."""

    plate: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    match: Match
    window: Window
    purpose: Purpose
    region: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = MAX_LIMIT
    cursor: Annotated[str, msgspec.Meta(max_length=8192)] | None = None


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the identity layer proved it."""

    person: str
    agency: str
    roles: frozenset[str]
    trigger: Trigger = "human"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One sighting of the asked-for plate. An unverified lead: `doubts` says what speaks against it.

    `position` is the registry's at the time of the read. `crop` names the picture of the plate alone, if its owner
    keeps one.
    """

    pass_id: uuid.UUID
    captured_at: datetime
    local_time: str
    camera_id: str
    owner: str
    position: Position
    plate_raw: str | None
    plate: str
    plate_confidence: float | None
    candidates: tuple[Candidate, ...]
    region: str | None
    region_confidence: float | None
    make: Trait | None
    model: Trait | None
    colour: Trait | None
    body: Trait | None
    match: Match
    skew_s: float
    clock_uncertainty_s: float
    doubts: tuple[Doubt, ...]
    reads: int = 1
    crop: Crop | None = None


class Leg(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The way between two consecutive points, named by their pass ids.

    `distance_m` is the great-circle distance, `speed_kmh` the speed it would have taken at least (None if the time
    between is not positive). `impossible` legs split the trajectory: no line is drawn along them.
    """

    from_: uuid.UUID
    to: uuid.UUID
    distance_m: float
    elapsed_s: float
    speed_kmh: float | None
    impossible: bool


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A place where one vehicle cannot have made both reads: the trajectory breaks between these passes."""

    after: uuid.UUID
    before: uuid.UUID
    reason: Literal["impossible_speed"]
    speed_kmh: float | None


class TravelLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The three settings by which a leg is judged impossible; shown in every answer."""

    min_distance_m: float = 300.0
    position_tolerance_m: float = 100.0
    max_speed_kmh: float = 250.0


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """How many owners' reads were not looked at, and the rules that said so (rule -> owners)."""

    owners: int
    reasons: dict[str, int]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that the question was recorded: its index, its leaf's bytes, and size and root of the log then.

    `leaf` is base64 of the stored bytes, `root` hex.
    """

    index: int
    leaf: str
    size: int
    root: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a trajectory question."""

    status: Literal["UNVERIFIED LEAD"] = "UNVERIFIED LEAD"
    points: tuple[Point, ...]
    legs: tuple[Leg, ...]
    splits: tuple[Split, ...]
    limits: TravelLimits
    withheld: Withheld
    complete: bool
    intent: int
    outcome: int
    receipt: Receipt
    next: str | None
