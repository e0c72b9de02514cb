"""Owners' rules: for each agency that owns cameras, who may ask about its reads, what for, and how far back.

One data file holds them until rule packs of jurisdictions exist; every service that applies them reads the same
file. An owner that is absent shares with nobody but itself and keeps reads 30 days.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from schemas.queries import PurposeCode

DEFAULT_DAYS: Final = 30


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one owner allows: agencies that may ask, purposes they may ask for, and days it keeps its reads."""

    agencies: tuple[str, ...] = ()
    purposes: tuple[PurposeCode, ...] = ()
    days: int = DEFAULT_DAYS


class OwnerRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The file's content: owner -> grant."""

    owners: dict[str, Grant] = {}

    def grant(self, owner: str) -> Grant:
        """Return the owner's grant, or the default of an absent one: itself only, 30 days."""
        return self.owners.get(owner, _ABSENT)

    def days(self, owner: str) -> int:
        """Return how many days an owner's reads may be kept and seen."""
        return self.grant(owner).days

    def longest_days(self) -> int:
        """Return the longest retention of all owners, in days; never less than the default of absent owners."""
        return max([DEFAULT_DAYS, *(grant.days for grant in self.owners.values())])

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of the rules in a canonical form: it names the policy under which a decision was made."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()


_ABSENT: Final = Grant()


def load(path: Path) -> OwnerRules:
    """Read a rules file (JSON).

    Raises msgspec.ValidationError for unknown fields, unknown purposes or wrong types, ValueError for a retention
    under one day: a rule that was mistyped must stop a service at start rather than widen what it allows.
    """
    rules = msgspec.json.decode(path.read_bytes(), type=OwnerRules)
    if any(grant.days < 1 for grant in rules.owners.values()):
        raise ValueError("an owner's days must be at least 1")
    return rules
