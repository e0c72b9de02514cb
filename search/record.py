"""What the door for questions writes into the audit log: one function for each kind of entry. Pure.

The public part says when, which agency, why and how broadly was asked, and how much came of it. Who asked, for which
plate and in which case is in the disclosures, of which a leaf holds commitments only.
"""

import math
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from schemas.entries import Disclosure, Entry, Lookup, LookupClass, disclose
from schemas.plate import plate_key
from schemas.queries import Asker, TrajectoryRequest
from search.audit.lookups import Lookups
from search.policy import Decisions
from search.trajectory import Carry

TYPE: Final = "trajectory"

FailureReason = Literal["index_unavailable", "out_of_time", "internal"]
NOBODY_PERMITS: Final = "nobody_permits"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question on its way through the door: who asks what, in which format, and what policy says of it."""

    asker: Asker
    request: TrajectoryRequest
    format: str
    decisions: Decisions


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The entry under which a read happens: an intent or page (`index`), and the intent of its question."""

    index: int
    intent: int


def question(request: TrajectoryRequest, scope: bytes, limit: int, after: Carry | None) -> dict[str, Any]:
    """Return the value that an intent or page commits to under `question`: all that bounds what the gate reads.

    `scope` is the hash of the permitted scope, `limit` the most rows, `after` the position behind which to go on.
    """
    return {
        "type": TYPE,
        "plate": request.plate,
        "plate_key": plate_key(request.plate),
        "match": request.match,
        "region": request.region,
        "from": _iso(request.window.from_),
        "to": _iso(request.window.to),
        "scope": scope.hex(),
        "limit": limit,
        "after": after and {"captured_at": _iso(after.captured_at), "pass_id": str(after.pass_id)},
    }


def intent(asked: Asked, at: datetime, question: Disclosure, lookups: Lookups, idempotency: bytes | None) -> Entry:
    """Return the entry that is durable before the index is read.

    `idempotency` is the look-up by which a repeated request finds this intent.
    """
    purpose = asked.request.purpose
    secret: dict[str, Any] = {
        "person": asked.asker.person,
        "case_number": purpose.case_number,
        "authority_reference": purpose.authority.reference,
        "offence": purpose.offence,
        "note": purpose.note,
        "decisions": asked.decisions.root,
    }
    found_by: dict[LookupClass, str] = {
        "person": asked.asker.person,
        "case": purpose.case_number,
        "plate": asked.request.plate,
        "plate_key": plate_key(asked.request.plate),
    }
    macs = [lookups.lookup(field, value) for field, value in found_by.items()]
    if idempotency is not None:
        macs.append(Lookup(field="idempotency", mac=idempotency))
    return Entry(
        kind="intent",
        public={
            **_common(asked, at),
            "purpose": purpose.code,
            "authority": purpose.authority.kind,
            "trigger": asked.asker.trigger,
            "match": asked.request.match,
            **_decided(asked),
        },
        disclosures=(question, *(disclose(field, value) for field, value in secret.items() if value is not None)),
        lookups=tuple(macs),
    )


def page(asked: Asked, at: datetime, question: Disclosure, intent_index: int, lookups: Lookups) -> Entry:
    """Return the entry that is durable before a further page, or a repeated answer, of an intent is read."""
    return Entry(
        kind="page",
        public={**_common(asked, at), "intent": intent_index, **_decided(asked)},
        disclosures=(
            question,
            disclose("person", asked.asker.person),
            disclose("decisions", asked.decisions.root),
        ),
        lookups=(
            lookups.lookup("person", asked.asker.person),
            lookups.lookup("case", asked.request.purpose.case_number),
        ),
    )


def outcome(
    asked: Asked,
    at: datetime,
    opened: Opened,
    *,
    rows: int,
    delivered: Iterable[uuid.UUID],
    delivered_keys: Iterable[bytes],
    result: str,
) -> Entry:
    """Return the end of a question that was answered.

    `rows` is the number of reads that left the gate, `delivered` the passes in the answer, `delivered_keys` the
    look-ups of their plate keys, `result` the SHA-256 (hex) of the points' bytes.
    """
    passes = [str(pass_id) for pass_id in delivered]
    return Entry(
        kind="outcome",
        public={
            **_common(asked, at),
            "intent": opened.intent,
            "rows": rows,
            "points": len(passes),
            "withheld": len(asked.decisions.denied),
        },
        disclosures=(disclose("result", result), disclose("delivered", passes)),
        lookups=tuple(Lookup(field="delivered_key", mac=mac) for mac in delivered_keys),
        ends=opened.index,
    )


def denial(asked: Asked, at: datetime, opened: Opened) -> Entry:
    """Return the end of a question that no owner permits."""
    return Entry(
        kind="denial",
        public={
            **_common(asked, at),
            "intent": opened.intent,
            "reason": NOBODY_PERMITS,
            "withheld": len(asked.decisions.denied),
        },
        ends=opened.index,
    )


def failure(asked: Asked, at: datetime, opened: Opened, reason: FailureReason) -> Entry:
    """Return the end of a question that was recorded and not answered."""
    return Entry(
        kind="failure", public={**_common(asked, at), "intent": opened.intent, "reason": reason}, ends=opened.index
    )


def _common(asked: Asked, at: datetime) -> dict[str, Any]:
    return {"type": TYPE, "at": _iso(at), "agency": asked.asker.agency}


def _decided(asked: Asked) -> dict[str, Any]:
    span = asked.request.window.to - asked.request.window.from_
    return {
        "format": asked.format,
        "policy": asked.decisions.digest.hex(),
        "decisions": asked.decisions.counts(),
        "breadth": {"owners": len(asked.decisions.permitted), "days": math.ceil(span / timedelta(days=1))},
    }


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
