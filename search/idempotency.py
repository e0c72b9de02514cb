"""Idempotency keys: a request that is repeated never records a second intent.

A key is claimed before the intent is recorded, and the claim is settled when its request ends, however it ends. The
intent carries a look-up made of the claim's own time, written in the transaction that records it, so that what
happened can be told from the log alone, wherever the process died:

- after the claim, before the intent: the claim turns stale after 30 s; no intent is found; it is taken over.
- after the intent, before its end or before the claim was settled: the claim turns stale; the intent is found; the
  repeated request is answered under a page entry of it. The lost request's own end is the sweeper's to write.
- the log did not answer in time: the claim is settled, and the log is asked for the intent when the request comes
  again, since what timed out may have been recorded all the same.

Until a lost claim is stale, repeats are told to wait (409). The database is given less time than that for a statement,
and a request less than that in all: what was lost cannot be recorded any more once its claim is stale.
"""

from typing import Final

import msgspec
import structlog

from schemas.queries import TrajectoryRequest
from search.audit.lookups import Lookups
from search.errors import Conflict, Flaw, Invalid, Unavailable
from search.ports import Claim, Claims

_RETRY_AFTER_S: Final = 1
_BODIES: Final = msgspec.json.Encoder(order="deterministic")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed key: `lookup` is what the intent under it is found by; `intent` is set if there is one already."""

    mac: bytes
    claim: Claim
    lookup: bytes
    intent: int | None = None


class Keys:
    """The idempotency keys of one kind of request."""

    def __init__(self, claims: Claims, lookups: Lookups) -> None:
        """Keep claims, known by HMACs under the look-up key."""
        self._claims = claims
        self._lookups = lookups

    async def hold(self, person: str, key: str, request: TrajectoryRequest) -> Held:
        """Claim a person's key for a request, or find the intent that was recorded under it.

        Raises Invalid if the key was used with another body, Conflict if the first request is still being answered,
        Unavailable.
        """
        mac = self._mac(b"claim", person.encode(), key.encode())
        claim = await self._claims.claim(mac, self._mac(b"body", _BODIES.encode(request)))
        if claim.state == "settled":
            intent = await self._claims.intent_of(self._lookup(mac, claim))
            if intent is not None:
                return Held(mac=mac, claim=claim, lookup=self._lookup(mac, claim), intent=intent)
            claim = await self._claims.take_over(mac, claim)
        if claim.state == "other_body":
            fault = "This Idempotency-Key was used with another body."
            raise Invalid(Flaw(pointer="", detail=fault), detail=fault)
        if claim.state != "ours":
            raise Conflict("The first request with this Idempotency-Key is still being answered.", _RETRY_AFTER_S)
        return Held(mac=mac, claim=claim, lookup=self._lookup(mac, claim))

    async def settle(self, held: Held) -> None:
        """Say that the request is over. If that cannot be said now, the claim turns stale by itself."""
        try:
            await self._claims.settle(held.mac, held.claim)
        except Unavailable:
            structlog.get_logger().warning("a claim is left to turn stale")

    def _lookup(self, mac: bytes, claim: Claim) -> bytes:
        return self._mac(b"intent", mac, claim.since.isoformat().encode())

    def _mac(self, *parts: bytes) -> bytes:
        # Each part is told by its length: no two lists of parts make the same bytes.
        return self._lookups.mac("idempotency", b"".join(b"%d:%b," % (len(part), part) for part in parts))
