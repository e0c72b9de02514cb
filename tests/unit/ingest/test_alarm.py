"""When it is said that a topic is not read in time."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.alarm import Alarm, Standing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def aged(seconds: float, lost: int = 0) -> Standing:
    return Standing(unread=1, oldest_at=NOW - timedelta(seconds=seconds), lost=lost)


@pytest.mark.parametrize(
    ("standing", "late"),
    [
        (aged(179.9), False),
        (aged(180), True),
        (aged(-5), False),
        (Standing(unread=0, oldest_at=None), False),
        (Standing(unread=0, oldest_at=None, lost=1), True),
    ],
)
def test_three_minutes_are_late(standing: Standing, late: bool) -> None:
    assert standing.is_late(NOW) is late


def test_an_age_is_never_negative() -> None:
    assert [one.age_s(NOW) for one in (aged(-5), aged(7), Standing(unread=0, oldest_at=None))] == [0, 7, 0]


def test_each_beginning_and_end_is_told_once() -> None:
    told: list[tuple[str, bool]] = []
    alarm = Alarm(lambda name, _, late: told.append((name, late)))
    for minutes in (0, 1, 2, 3, 4):
        alarm.heed({"north": aged(60), "south": aged(0)}, NOW + timedelta(minutes=minutes))
    assert told == [("north", True), ("south", True)]
    assert alarm.late == {"north", "south"}
    for _ in range(2):
        alarm.heed({"north": aged(0), "south": aged(0)}, NOW)
    assert told[2:] == [("north", False), ("south", False)]
    assert not alarm.late
