"""Verification of the log: what was removed, altered, moved or rewritten, named by index. Pure.

Each stored row holds its leaf, the leaf's RFC 6962 hash, and `place`, a hash that binds that hash to the row's index.
So an altered leaf disagrees with its hash, and a moved row with its place; a row that was rewritten whole disagrees
with the root in the head; and if the head was rewritten too, with a receipt that somebody kept.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson

from schemas.entries import ENDS, OPENING
from schemas.queries import Receipt
from search.audit.errors import LogBroken
from search.audit.findings import Suspect, suspicions
from search.audit.merkle import Tree, leaf_hash, place_hash
from search.audit.ports import Head
from search.audit.receipts import Attested, attested

END_LIMIT_S: Final = 900.0
"""An intent or page without an end for longer than this fails verification: the sweeper ends it after 300 s."""

Problem = Literal[
    "missing", "altered", "moved", "undecodable", "columns", "beyond", "head", "end", "unended", "cut", "rewritten"
]


class Row(NamedTuple):
    """A stored row, as the database returns it, in order of `idx`."""

    idx: int
    leaf: bytes
    hash: bytes
    place: bytes
    kind: str
    ends: int | None
    agency: str | None
    purpose: str | None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wrong with the entries `first` to `last`, or with the head (then `first` is its size)."""

    problem: Problem
    first: int
    last: int
    detail: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. `root` is rebuilt from the leaves, and None where leaves are missing.

    `open` are intents and pages without an end that are too young to be a fault; `abandoned` counts, by agency, those
    whose end is only the sweeper's; `kinds` counts entries.
    """

    size: int
    root: bytes | None
    kinds: dict[str, int]
    findings: tuple[Finding, ...]
    open: tuple[int, ...]
    abandoned: dict[str, int]

    def raise_for_findings(self) -> None:
        """Raise LogBroken if anything is wrong."""
        if self.findings:
            raise LogBroken(f"{len(self.findings)} findings")


class Verifier:
    """Verifies rows that are fed in order of their indexes; keeps open questions and the frontier, not the rows."""

    def __init__(
        self, head: Head, against: Sequence[Receipt], *, now: datetime, end_limit_s: float = END_LIMIT_S
    ) -> None:
        """Verify up to `head`, and against older receipts. Raises ValueError if a receipt contradicts itself."""
        self._head = head
        self._attested = tuple(attested(receipt) for receipt in against)
        self._now = now
        self._end_limit = timedelta(seconds=end_limit_s)
        self._findings: list[Finding] = []
        self._next = 0
        self._gaps: list[range] = []
        self._suspects: list[Suspect] = []
        self._unreadable: set[int] = set()
        self._tree = Tree()
        self._broken = False
        self._wanted = {head.size, *(item.size for item in self._attested)}
        self._roots: dict[int, bytes] = {0: self._tree.root()}
        self._frontier: tuple[bytes, ...] = ()
        self._leaves_wanted: dict[int, list[Attested]] = {}
        for item in self._attested:
            self._leaves_wanted.setdefault(item.idx, []).append(item)
        self._open: dict[int, str] = {}
        self._kinds: Counter[str] = Counter()
        self._abandoned: Counter[str] = Counter()

    def feed(self, rows: Iterable[Row]) -> None:
        """Take the next rows."""
        for row in rows:
            self._order(row.idx)
            self._hashes(row)
            self._content(row)
            if row.idx in self._leaves_wanted:
                self._against_leaf(row)

    def finish(self) -> Report:
        """Return what was found, after the last row."""
        self._order(max(self._next, self._head.size), at_end=True)
        self._resolve_suspects()
        self._check_head()
        self._check_receipts()
        young = self._check_unended()
        return Report(
            size=self._head.size,
            root=self._roots.get(self._head.size),
            kinds=dict(self._kinds),
            findings=tuple(sorted(self._findings, key=lambda item: (item.first, item.problem))),
            open=young,
            abandoned=dict(self._abandoned),
        )

    def _find(self, problem: Problem, first: int, last: int, detail: str) -> None:
        self._findings.append(Finding(problem=problem, first=first, last=last, detail=detail))

    def _order(self, index: int, *, at_end: bool = False) -> None:
        """Take note of a gap before this index. Without a missing leaf no root can be rebuilt from there on."""
        if index > self._next:
            self._gaps.append(range(self._next, index))
            self._find("missing", self._next, index - 1, "no such row")
            self._broken = True
        self._next = index if at_end else index + 1

    def _hashes(self, row: Row) -> None:
        true = leaf_hash(row.leaf)
        if true != row.hash or place_hash(row.idx, row.hash) != row.place:
            self._suspects.append(Suspect(row.idx, true, row.hash, row.place))
        if self._broken:
            return
        # The stored hashes: wherever they are not their leaves' the row is a suspect, and the tree still says whether
        # they are the ones that the head knows.
        tree = self._tree
        tree.add(row.hash)
        if tree.size in self._wanted:
            self._roots[tree.size] = tree.root()
            if tree.size == self._head.size:
                self._frontier = tree.frontier

    def _content(self, row: Row) -> None:
        body = _decode(row.leaf)
        if body is None:
            self._unreadable.add(row.idx)
            self._find("undecodable", row.idx, row.idx, "the leaf is no canonical entry")
            return
        kind, ends, agency = body["kind"], body.get("ends"), body.get("agency")
        if (kind, ends, agency, body.get("purpose")) != row[4:]:
            self._find("columns", row.idx, row.idx, "columns of the row say otherwise than its leaf")
        self._kinds[kind] += 1
        if kind in OPENING:
            self._open[row.idx] = str(body.get("at"))
        elif kind in ENDS:
            self._end(row.idx, ends)
            if kind == "abandoned":
                self._abandoned[str(agency)] += 1

    def _end(self, index: int, ends: int | None) -> None:
        if ends is None or (self._open.pop(ends, None) is None and not self._unknown(ends)):
            self._find("end", index, index, "it ends what is no open intent or page")

    def _unknown(self, index: int) -> bool:
        return index in self._unreadable or any(index in gap for gap in self._gaps)

    def _resolve_suspects(self) -> None:
        for suspicion in suspicions(self._suspects, self._gaps):
            problem: Problem = "altered" if suspicion.belongs_at is None else "moved"
            self._find(problem, suspicion.idx, suspicion.idx, suspicion.detail)

    def _check_head(self) -> None:
        size = self._head.size
        if self._next > size:
            self._find("beyond", size, self._next - 1, "rows beyond the head")
        if size not in self._roots:
            return
        if self._head.root != self._roots[size]:
            self._find("head", size, size, "the root over the stored hashes is not the head's")
        if self._head.frontier != self._frontier:
            self._find("head", size, size, "the frontier over the stored hashes is not the head's")

    def _against_leaf(self, row: Row) -> None:
        if any(item.leaf != row.leaf for item in self._leaves_wanted[row.idx]):
            self._find("rewritten", row.idx, row.idx, "the leaf is not the one in the receipt")

    def _check_receipts(self) -> None:
        known = [item for item in self._attested if item.size in self._roots and item.size <= self._head.size]
        wrong = [item.size for item in known if self._roots[item.size] != item.root]
        if wrong:
            good = max((item.size for item in known if item.size < min(wrong) and item.size not in wrong), default=0)
            self._find("rewritten", good, min(wrong) - 1, "the first leaves are not those that the receipt attests")
        longest = max((item.size for item in self._attested), default=0)
        if longest > self._head.size:
            self._find("cut", self._head.size, longest - 1, "a receipt attests entries that the log no longer has")

    def _check_unended(self) -> tuple[int, ...]:
        young = []
        for index, at in self._open.items():
            if self._is_old(at):
                self._find("unended", index, index, "no end, long after it was recorded")
            else:
                young.append(index)
        return tuple(young)

    def _is_old(self, at: str) -> bool:
        try:
            return self._now - datetime.fromisoformat(at) > self._end_limit
        except (ValueError, TypeError):  # no time, or one without an offset
            return True


def _decode(leaf: bytes) -> dict[str, Any] | None:
    """Return a leaf's body, or None unless it is a canonical JSON object whose columns are of their types."""
    try:
        body = orjson.loads(leaf)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        return None
    ends, words = body.get("ends"), (body.get("agency"), body.get("purpose"))
    if not (ends is None or type(ends) is int) or not all(word is None or isinstance(word, str) for word in words):
        return None
    try:
        return body if orjson.dumps(body, option=orjson.OPT_SORT_KEYS) == leaf else None
    except orjson.JSONEncodeError:  # nested deeper than it writes, though not than it reads
        return None


def verify(
    rows: Iterable[Row],
    head: Head,
    against: Sequence[Receipt] = (),
    *,
    now: datetime,
    end_limit_s: float = END_LIMIT_S,
) -> Report:
    """Verify a whole log: see `Verifier`."""
    verifier = Verifier(head, against, now=now, end_limit_s=end_limit_s)
    verifier.feed(rows)
    return verifier.finish()
