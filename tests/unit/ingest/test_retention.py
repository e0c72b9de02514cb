"""Which days the index needs, which it loses, and whose reads go before their day does."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ingest.retention import UNDER_WAY, cutoffs, dropped_entry, expired, purged_entry, shortest, wanted
from schemas.owners import Grant, OwnerRules

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
RULES = OwnerRules(owners={"short-pd": Grant(days=3), "long-so": Grant(days=40)})


def test_days_reach_from_the_longest_retention_to_two_days_ahead() -> None:
    days = list(wanted(NOW, 30))
    assert days[0] == date(2026, 2, 8)
    assert days[-1] == date(2026, 3, 12)
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


@pytest.mark.parametrize("hour", [0, 3, 5, 6, 7, 23])
def test_every_read_that_is_accepted_has_a_day(hour: int) -> None:
    now = NOW.replace(hour=hour, minute=1)
    days = set(wanted(now, 30))
    assert (now - timedelta(days=30)).date() in days
    assert (now + timedelta(seconds=300)).date() in days


def test_days_are_those_of_utc_wherever_we_are() -> None:
    assert list(wanted(NOW.astimezone(timezone(timedelta(hours=14))), 30)) == list(wanted(NOW, 30))


def test_a_day_goes_when_all_of_it_is_past_and_nothing_is_under_way() -> None:
    first = date(2026, 2, 7)
    days = [first + timedelta(days=number) for number in range(5)]
    last_second = datetime(2026, 2, 8, tzinfo=UTC) + timedelta(days=30) + UNDER_WAY
    assert expired(days, last_second - timedelta(seconds=1), 30) == []
    assert expired(days, last_second, 30) == [first]


def test_no_day_is_dropped_that_is_wanted() -> None:
    for hours in range(200):
        now = NOW + timedelta(hours=hours)
        assert set(expired(list(wanted(NOW, 30)), now, 30)).isdisjoint(wanted(now, 30))


def test_owners_who_keep_less_than_the_longest_are_purged() -> None:
    due = cutoffs(["short-pd", "long-so", "unlisted"], RULES, NOW)
    assert due == {"short-pd": NOW - timedelta(days=3), "unlisted": NOW - timedelta(days=30)}
    assert cutoffs(["a", "b"], OwnerRules(), NOW) == {}


def test_the_shortest_retention_counts_owners_without_a_rule() -> None:
    assert shortest(RULES) == timedelta(days=3)
    assert shortest(OwnerRules(owners={"long-so": Grant(days=40)})) == timedelta(days=30)


def test_entries_say_what_was_destroyed_and_commit_to_whose() -> None:
    counts = {f"agency-{number}": number for number in range(5000)}
    entry = dropped_entry(date(2026, 2, 7), counts, NOW)
    body = json.loads(entry.leaf())
    assert (body["kind"], body["type"], body["day"], body["owners"]) == ("purge", "day", "2026-02-07", 5000)
    assert body["reads"] == sum(range(5000))
    assert len(entry.leaf()) < 1000
    assert entry.disclosures[0].value == counts
    purged = json.loads(purged_entry("short-pd", NOW, 7, NOW).leaf())
    assert (purged["type"], purged["owner"], purged["reads"]) == ("owner", "short-pd", 7)
    assert purged["before"] == "2026-03-10T12:00:00.000000Z"
