"""Who may see whose reads: one decision for each owner, from the owners' rules alone.

An agency always sees its own cameras' reads. Another owner's only if that owner's grant names the agency and the
purpose. Every decision is bounded by the days that the owner keeps its reads.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final, Literal

import msgspec

from schemas.entries import canonical
from schemas.owners import OwnerRules
from schemas.queries import Asker, PurposeCode, Withheld

Reason = Literal["no_grant", "purpose"]
"""Why reads are withheld: the owner grants the agency nothing; or it does, but not for this purpose."""

PERMIT: Final = "permit"
DENY: Final = "deny"


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions of one question, and the policy (SHA-256 of the rules) they were made under.

    `permitted` maps an owner to the days its reads can be seen, `denied` an owner to the reason.
    """

    agency: str
    purpose: PurposeCode
    permitted: dict[str, int]
    denied: dict[str, Reason]
    digest: bytes

    def scope_body(self) -> bytes:
        """Return the canonical bytes of what is permitted: the gate applies them, the question names their hash."""
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

    def withheld(self) -> Withheld:
        """Return how many owners' reads are not looked at, and how many of them for each reason."""
        return Withheld(owners=len(self.denied), reasons=dict(sorted(Counter(self.denied.values()).items())))

    def counts(self) -> dict[str, int]:
        """Return how many owners were permitted and denied: what the public part of an intent shows."""
        return {PERMIT: len(self.permitted), DENY: len(self.denied)}


def decide(rules: OwnerRules, asker: Asker, purpose: PurposeCode, owners: Collection[str]) -> Decisions:
    """Decide for every owner of cameras whether its reads may be seen by the asker's agency for a purpose."""
    permitted: dict[str, int] = {}
    denied: dict[str, Reason] = {}
    for owner in sorted(owners):
        grant = rules.grant(owner)
        if owner == asker.agency or (asker.agency in grant.agencies and purpose in grant.purposes):
            permitted[owner] = grant.days
        else:
            denied[owner] = "purpose" if asker.agency in grant.agencies else "no_grant"
    return Decisions(agency=asker.agency, purpose=purpose, permitted=permitted, denied=denied, digest=rules.digest())
