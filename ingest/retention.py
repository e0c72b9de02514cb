"""How long reads are kept: which days the index needs, which it must lose, and whose reads go before their day does.

The gate hides a read at the second it expires; this is when it is destroyed. A day is dropped whole once it is past
the longest retention; owners who keep less are purged inside the days that remain. Pure, but for `keep`.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol

import msgspec

from schemas.entries import Entry, disclose
from schemas.owners import OwnerRules

LEAD_DAYS: Final = 2
"""Days that are made ahead: a maintain service that is down has this long to be mended before writes fail."""

UNDER_WAY: Final = timedelta(hours=6)
"""A day outlives its last read's retention by this: a read that was accepted in its last hour may still be coming."""

_DAY: Final = timedelta(days=1)


class Cutoffs:
    """The time up to which the reads of each owner are past its days, as of now: each worked out once."""

    def __init__(self, rules: OwnerRules, now: datetime) -> None:
        """Know the owners' rules, and what time it is."""
        self._rules, self._now = rules, now
        self._known: dict[str, datetime] = {}

    def of(self, owner: str) -> datetime:
        """Return the time of an owner: what was captured then or before may not be kept any longer."""
        found = self._known.get(owner)
        if found is None:
            found = self._known[owner] = self._now - timedelta(days=self._rules.days(owner))
        return found


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did: days made and dropped, reads that went with them or were purged, claims forgotten."""

    made: int
    dropped: int
    reads_dropped: int
    reads_purged: int
    claims: int


class Days(Protocol):
    """The index's days, as the maintaining role has them. Every method raises Unavailable or Misconfigured."""

    async def now(self) -> datetime:
        """Return the database's time: what it refuses to drop or purge depends on it."""
        ...

    async def make(self, day: date) -> bool:
        """Make a day; False if it exists."""
        ...

    async def existing(self) -> list[date]:
        """Return the days that exist, the oldest first."""
        ...

    async def owners(self, before: datetime) -> dict[str, int]:
        """Return how many reads each owner has that were captured before a time."""
        ...

    async def drop(self, day: date) -> int:
        """Drop a day and leave an entry in the audit log, both or neither; return how many reads it held."""
        ...

    async def purge(self, owner: str, before: datetime) -> int:
        """Delete an owner's reads captured before a time and leave an entry, both or neither; return how many."""
        ...

    async def forget_claims(self) -> int:
        """Delete idempotency keys older than 24 hours; return how many."""
        ...


async def keep(days: Days, rules: OwnerRules) -> Kept:
    """Bring the index to what the rules say, once. Raises what `Days` raises; what was done until then stays."""
    now = await days.now()
    made = [await days.make(day) for day in wanted(now, rules.longest_days())]
    dropped = [await days.drop(day) for day in expired(await days.existing(), now, rules.longest_days())]
    due = cutoffs(await days.owners(now - shortest(rules)), rules, now)
    purged = [await days.purge(owner, before) for owner, before in sorted(due.items())]
    return Kept(
        made=sum(made),
        dropped=len(dropped),
        reads_dropped=sum(dropped),
        reads_purged=sum(purged),
        claims=await days.forget_claims(),
    )


def wanted(now: datetime, longest_days: int) -> Iterator[date]:
    """Yield the days (UTC) that must exist: every read that is accepted has one."""
    day, last = (now - timedelta(days=longest_days) - UNDER_WAY).astimezone(UTC).date(), now.astimezone(UTC).date()
    while day <= last + LEAD_DAYS * _DAY:
        yield day
        day += _DAY


def expired(existing: Collection[date], now: datetime, longest_days: int) -> list[date]:
    """Return the days of which every read is past the longest retention, and none is under way any more."""
    limit = now - timedelta(days=longest_days) - UNDER_WAY
    return sorted(day for day in existing if datetime.combine(day, time(), UTC) + _DAY <= limit)


def shortest(rules: OwnerRules) -> timedelta:
    """Return the shortest retention of all owners."""
    return timedelta(days=min([rules.days(""), *(grant.days for grant in rules.owners.values())]))


def cutoffs(owners: Collection[str], rules: OwnerRules, now: datetime) -> dict[str, datetime]:
    """Return, for each owner who keeps less than the longest retention, the time before which its reads go."""
    longest = rules.longest_days()
    return {owner: now - timedelta(days=rules.days(owner)) for owner in owners if rules.days(owner) < longest}


def dropped_entry(day: date, counts: Mapping[str, int], at: datetime) -> Entry:
    """Return the audit entry of a day that was dropped. Owners may be thousands: they are committed, not listed."""
    return Entry(
        kind="purge",
        public={
            "type": "day",
            "at": _iso(at),
            "day": day.isoformat(),
            "owners": len(counts),
            "reads": sum(counts.values()),
        },
        disclosures=(disclose("owners", dict(counts)),),
    )


def purged_entry(owner: str, before: datetime, reads: int, at: datetime) -> Entry:
    """Return the audit entry of an owner's reads that were purged."""
    return Entry(
        kind="purge",
        public={"type": "owner", "at": _iso(at), "owner": owner, "before": _iso(before), "reads": reads},
    )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
