"""Which dead letters may be put back, and as what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ingest import deadletter
from ingest.adapters.cameras import CameraTable
from ingest.replay import Kept, Result, entry, is_seen_by, judge, marker
from schemas import wire
from schemas.deadletters import DeadLetter, Reason
from schemas.detections import Detection
from schemas.entries import Lookup
from schemas.owners import Grant, OwnerRules
from schemas.queries import Asker
from tests.support.cameras import camera
from tests.support.detections import detection, sighting

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARRIVED = NOW - timedelta(hours=2)
RULES = OwnerRules(owners={"south": Grant(days=3)})
ASKER = Asker(person="operator-jo", agency="north", roles=frozenset({"camera_operator"}))


def read(**changes: Any) -> Detection:
    """Return a read that arrived two hours ago, captured half a minute before."""
    times = {"claimed_at": ARRIVED - timedelta(seconds=30), "captured_at": ARRIVED - timedelta(seconds=30)}
    return detection(1, **{**times, "received_at": ARRIVED, **changes})


def ahead(by: timedelta) -> Detection:
    """Return a read whose camera's clock was ahead."""
    return read(claimed_at=ARRIVED + by, captured_at=ARRIVED + by)


def verdict(
    of: Detection, reason: Reason = "unknown_camera", *, replayed_as: datetime | None = None, **of_camera: Any
) -> Detection | Result:
    """Judge the letter of a detection by a registry with one camera."""
    one, _ = camera("cam-1", **of_camera)
    letter = deadletter.of_detection("enricher", reason, of, NOW)
    kept = Kept(place=(0, 0, 0), letter=letter, replayed_as=replayed_as)
    return judge(kept, CameraTable([one]), RULES, NOW, future_limit_s=300)


@pytest.mark.parametrize("reason", ["unknown_camera", "retired_camera", "wrong_owner", "poisoned"])
def test_what_is_right_by_now_comes_back_as_it_was(reason: Reason) -> None:
    one = read()
    assert verdict(one, reason) == one
    # A clock rule of today does not touch a time that was judged when it came.
    assert verdict(one, reason, clock_use="offset", clock_offset_s=-60.0) == one


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"owner": "south"}, "wrong_owner"),
        ({"active": False}, "retired_camera"),
        ({"handling": "ephemeral"}, "ephemeral"),
    ],
)
def test_what_is_wrong_still_stays(changes: dict[str, Any], result: Result) -> None:
    assert verdict(read(), **changes) == result


def test_a_camera_that_is_still_unknown() -> None:
    letter = deadletter.of_detection("enricher", "unknown_camera", read(), NOW)
    kept = Kept(place=(0, 0, 0), letter=letter)
    assert judge(kept, CameraTable(), RULES, NOW, future_limit_s=300) == "unknown_camera"


def test_of_bytes_and_of_a_sighting_nothing_was_kept() -> None:
    for letter in (
        deadletter.of_bytes("enricher", "detections\x1f0\x1f7", 12, NOW),
        deadletter.of_sighting("indexer", "poisoned", sighting(1), NOW),
    ):
        kept = Kept(place=(0, 0, 0), letter=letter)
        assert judge(kept, CameraTable(), RULES, NOW, future_limit_s=300, force=True) == "nothing_kept"


def test_a_future_read_is_judged_by_the_clock_rule_of_today() -> None:
    one = ahead(timedelta(hours=7))
    assert verdict(one, "clock_future") == "clock_future"
    mended = verdict(one, "clock_future", clock_use="offset", clock_offset_s=-7 * 3600.0)
    assert mended == msgspec.structs.replace(one, captured_at=ARRIVED)
    arrival = verdict(one, "clock_future", clock_use="arrival")
    assert arrival == msgspec.structs.replace(one, captured_at=ARRIVED)


@pytest.mark.parametrize(("ahead_s", "stays"), [(300, False), (300.000001, True)])
def test_the_edge_is_the_gateways(ahead_s: float, stays: bool) -> None:
    found = verdict(ahead(timedelta(seconds=ahead_s)), "clock_future")
    assert (found == "clock_future") == stays


def test_a_second_replay_has_the_time_of_the_first() -> None:
    one = ahead(timedelta(hours=7))
    first = verdict(one, "clock_future", clock_use="offset", clock_offset_s=-7 * 3600.0)
    assert isinstance(first, Detection)
    second = verdict(one, "clock_future", replayed_as=first.captured_at, clock_use="offset", clock_offset_s=-8 * 3600.0)
    assert second == first


@pytest.mark.parametrize(("owner", "days"), [("north", 30), ("south", 3)])
def test_past_its_owners_days_a_read_never_comes_back(owner: str, days: int) -> None:
    age = timedelta(days=days)
    old = {"captured_at": NOW - age, "received_at": NOW - age + timedelta(seconds=1), "owner": owner}
    for force in (False, True):
        letter = deadletter.of_detection("enricher", "poisoned", read(**old), NOW)
        one, _ = camera("cam-1", owner=owner)
        kept = Kept(place=(0, 0, 0), letter=letter)
        assert judge(kept, CameraTable([one]), RULES, NOW, future_limit_s=300, force=force) == "past_retention"
    younger = read(**{**old, "captured_at": NOW - age + timedelta(microseconds=1)})
    assert isinstance(verdict(younger, "poisoned", owner=owner), Detection)


def test_where_owners_differ_the_stricter_rule_counts() -> None:
    old = read(captured_at=NOW - timedelta(days=4))
    assert verdict(old, "wrong_owner", owner="south") == "past_retention"


def test_a_clock_that_is_ahead_gives_no_more_time() -> None:
    arrived = NOW - timedelta(days=30)
    one = read(received_at=arrived, claimed_at=NOW + timedelta(days=900), captured_at=NOW + timedelta(days=900))
    assert verdict(one, "clock_future", clock_use="arrival") == "past_retention"


@pytest.mark.parametrize("name", ["captured_at", "received_at"])
def test_a_time_without_its_offset_never_comes_back(name: str) -> None:
    assert verdict(read(**{name: NOW.replace(tzinfo=None)}), "poisoned") == "past_retention"


def test_a_clock_rule_that_makes_a_read_too_old_is_no_way_back() -> None:
    one = ahead(timedelta(hours=1))
    assert verdict(one, "clock_future", owner="north", clock_use="offset", clock_offset_s=-86_400.0 * 40) == (
        "past_retention"
    )


def test_what_the_stream_has_otherwise_is_put_back_by_force_alone() -> None:
    letter = deadletter.of_detection("enricher", "conflicting_resend", read(), NOW)
    one, _ = camera("cam-1")
    kept = Kept(place=(0, 0, 0), letter=letter)
    assert judge(kept, CameraTable([one]), RULES, NOW, future_limit_s=300) == "needs_force"
    assert judge(kept, CameraTable([one]), RULES, NOW, future_limit_s=300, force=True) == read()


def test_a_marker_holds_no_read() -> None:
    letter = deadletter.of_detection("gateway", "clock_future", read(), NOW)
    made = marker(letter, read(captured_at=ARRIVED))
    assert (made.letter_id, made.replayed_as, made.detection) == (letter.letter_id, ARRIVED, None)
    assert b"ABC" not in wire.encode(made)


def test_an_agency_sees_its_own_and_what_is_nobodys() -> None:
    north, _ = camera("cam-north")
    table = CameraTable([north])
    own = deadletter.of_detection("enricher", "unknown_camera", read(), NOW)
    bytes_ = deadletter.of_bytes("enricher", "detections\x1f0\x1f7", 12, NOW)
    index = deadletter.of_sighting("indexer", "poisoned", sighting(1, camera_id="cam-north"), NOW)
    lost = deadletter.of_sighting("indexer", "poisoned", sighting(1, camera_id="cam-lost"), NOW)
    seen: dict[str, list[DeadLetter]] = {
        agency: [letter for letter in (own, bytes_, index, lost) if is_seen_by(letter, agency, table)]
        for agency in ("north", "south")
    }
    assert seen == {"north": [own, bytes_, index], "south": [bytes_]}


def test_an_entry_says_how_many_and_commits_to_the_rest() -> None:
    letter = deadletter.of_detection("gateway", "clock_future", read(plate_raw="XQ7-O41"), NOW)
    macs: list[tuple[str, str]] = []

    def lookup(field: Any, value: str) -> Lookup:
        macs.append((field, value))
        return Lookup(field=field, mac=b"m")

    made = entry("reveal", ASKER, [letter], "a mended clock", NOW, lookup)
    leaf = msgspec.json.decode(made.leaf())
    assert leaf.pop("commitments").keys() == {"person", "letters", "note"}
    assert leaf == {
        "v": 1,
        "kind": "dead_letter",
        "type": "dead_letter",
        "action": "reveal",
        "at": "2026-03-01T12:00:00.000000Z",
        "agency": "north",
        "trigger": "human",
        "letters": 1,
    }
    # Who looked for this plate later finds this look, too: by its key, 0 for O.
    assert macs == [("person", "operator-jo"), ("delivered_key", "X07041")]
    macs.clear()
    entry("replay", ASKER, [letter], None, NOW, lookup)
    assert macs == [("person", "operator-jo")]
