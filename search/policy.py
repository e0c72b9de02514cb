"""Who may see whose reads: one decision for each owner, from the owners' rules alone.

An agency always sees its own cameras' reads. Another owner's only if that owner's grant names the agency and the
purpose. Every decision is bounded by the days that the owner keeps its reads.
"""

from collections import Counter
from collections.abc import Collection
from functools import cached_property, lru_cache, partial
from typing import Final, Literal

import msgspec

from schemas.entries import canonical
from schemas.owners import OwnerRules
from schemas.queries import Asker, PurposeCode, Withheld
from search.audit.merkle import leaf_hash, root_of

Reason = Literal["no_grant", "purpose"]
"""Why reads are withheld: the owner grants the agency nothing; or it does, but not for this purpose."""

PERMIT: Final = "permit"
DENY: Final = "deny"


class Decisions(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The decisions of one question, and the policy (SHA-256 of the rules) they were made under.

    `permitted` maps an owner to the days its reads can be seen, `denied` an owner to the reason.
    """

    agency: str
    purpose: PurposeCode
    permitted: dict[str, int]
    denied: dict[str, Reason]
    digest: bytes

    @cached_property
    def scope_body(self) -> bytes:
        """The canonical bytes of what is permitted: the gate applies them, the question names their hash."""
        return canonical(
            {
                "agency": self.agency,
                "owners": self.permitted,
                "policy": self.digest.hex(),
                "purpose": self.purpose,
            }
        )

    def leaves(self) -> list[bytes]:
        """Return each decision in canonical bytes, sorted by owner: an intent commits to the Merkle root of these."""
        listed: dict[str, dict[str, str | int]] = {
            **{owner: {"owner": owner, "decision": PERMIT, "days": days} for owner, days in self.permitted.items()},
            **{owner: {"owner": owner, "decision": DENY, "reason": why} for owner, why in self.denied.items()},
        }
        return [canonical(listed[owner]) for owner in sorted(listed)]

    @cached_property
    def root(self) -> str:
        """The Merkle root (hex) of `leaves`."""
        return root_of(leaf_hash(leaf) for leaf in self.leaves()).hex()

    def withheld(self) -> Withheld:
        """Return how many owners' reads are not looked at, and how many of them for each reason."""
        return Withheld(owners=len(self.denied), reasons=dict(sorted(Counter(self.denied.values()).items())))

    def counts(self) -> dict[str, int]:
        """Return how many owners were permitted and denied: what the public part of an intent shows."""
        return {PERMIT: len(self.permitted), DENY: len(self.denied)}


def decide(rules: OwnerRules, agency: str, purpose: PurposeCode, owners: Collection[str]) -> Decisions:
    """Decide for every owner of cameras whether its reads may be seen by an agency for a purpose."""
    permitted: dict[str, int] = {}
    denied: dict[str, Reason] = {}
    for owner in sorted(owners):
        grant = rules.grant(owner)
        if owner == agency or (agency in grant.agencies and purpose in grant.purposes):
            permitted[owner] = grant.days
        else:
            denied[owner] = "purpose" if agency in grant.agencies else "no_grant"
    return Decisions(agency=agency, purpose=purpose, permitted=permitted, denied=denied, digest=rules.digest)


class Policy:
    """The owners' rules, deciding. Decisions are kept: across thousands of owners they cost more than a read."""

    def __init__(self, rules: OwnerRules, kept: int = 256) -> None:
        """Decide by these rules, keeping the decisions of the `kept` last kinds of question."""
        self._decided = lru_cache(maxsize=kept)(partial(decide, rules))

    def decide(self, asker: Asker, purpose: PurposeCode, owners: frozenset[str]) -> Decisions:
        """Decide for every owner of cameras: see `decide`."""
        return self._decided(asker.agency, purpose, owners)
