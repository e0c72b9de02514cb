"""What a superuser does to the log, and what verification says of it: every index by name, and no other."""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, disclose
from schemas.queries import Receipt
from search.audit.adapters.postgres import PostgresConnect
from search.audit.adapters.reader import verify_database
from search.audit.errors import LogBroken
from search.audit.log import GreedyLog
from search.audit.merkle import Tree, leaf_hash, place_hash
from search.audit.ports import Appended
from search.audit.secrets import Sealer
from search.audit.verify import Report
from tests.support.database import Database

SIZE = 20


class Scene(NamedTuple):
    """A log of ten questions with their outcomes, its receipts, and somebody who may do anything to it."""

    database: Database
    receipts: Sequence[Appended]
    superuser: Any

    async def verify(self, *against: Appended) -> Report:
        """Verify it as the auditing role."""
        return await verify_database(self.database.url("platetrail_auditing"), [kept(item) for item in against])

    async def rewrite(self, index: int, leaf: bytes) -> None:
        """Put another leaf in, with its hash and place."""
        hashed = leaf_hash(leaf)
        await self.superuser.execute(
            "update audit.leaf set leaf = $2, hash = $3, place = $4 where idx = $1",
            index,
            leaf,
            hashed,
            place_hash(index, hashed),
        )

    async def rebuild_head(self) -> None:
        """Make the head fit the leaves as they stand, as far as they stand without gap."""
        tree = Tree()
        for row in await self.superuser.fetch("select hash from audit.leaf order by idx"):
            tree.add(row["hash"])
        await self.superuser.execute(
            "update audit.head set size = $1, root = $2, frontier = $3", tree.size, tree.root(), list(tree.frontier)
        )


def kept(item: Appended) -> Receipt:
    """Return a receipt as an investigator keeps it."""
    leaf = base64.b64encode(item.leaf).decode()
    return Receipt(index=item.index, leaf=leaf, size=item.size, root=item.root.hex())


@pytest.fixture
def database(fresh_database: Callable[[], Database]) -> Database:
    """An empty log."""
    return fresh_database()


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    """A sound log; from here on no trigger runs for the superuser."""
    log = GreedyLog(
        PostgresConnect(database.url("platetrail_search")), Sealer(X25519PrivateKey.generate().public_key())
    )
    await log.start()
    receipts = []
    for number in range(SIZE // 2):
        public = {"at": datetime.now(UTC).isoformat(), "agency": "aurora-pd"}
        asked = Entry(kind="intent", public=public, disclosures=(disclose("person", f"p{number}"),))
        receipts.append(await log.append(asked))
        receipts.append(await log.append(Entry(kind="outcome", public=public, ends=receipts[-1].index)))
    await log.stop()
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute("set session_replication_role = replica")
    yield Scene(database, receipts, superuser)
    superuser.terminate()


def named(report: Report, *problems: str) -> set[int]:
    """Return every index that the findings of these problems name."""
    return {index for item in report.findings if item.problem in problems for index in range(item.first, item.last + 1)}


def problems(report: Report) -> set[str]:
    return {item.problem for item in report.findings}


async def test_a_sound_log_passes_with_every_receipt(scene: Scene) -> None:
    report = await scene.verify(*scene.receipts)
    report.raise_for_findings()
    assert (report.size, report.root, report.open) == (SIZE, scene.receipts[-1].root, ())


async def test_a_deleted_leaf_is_named(scene: Scene) -> None:
    await scene.superuser.execute("delete from audit.leaf where idx = 7")
    report = await scene.verify()
    assert named(report, "missing") == {7}
    assert named(report, "altered", "moved", "undecodable") == set()
    with pytest.raises(LogBroken):
        report.raise_for_findings()


async def test_several_deleted_leaves_are_named(scene: Scene) -> None:
    await scene.superuser.execute("delete from audit.leaf where idx in (0, 3, 4, 5, 19)")
    assert named(await scene.verify(), "missing") == {0, 3, 4, 5, 19}


async def test_an_emptied_log_is_named(scene: Scene) -> None:
    await scene.superuser.execute("truncate audit.leaf")
    assert named(await scene.verify(), "missing") == set(range(SIZE))


async def test_an_altered_leaf_is_named(scene: Scene) -> None:
    await scene.superuser.execute(
        "update audit.leaf set leaf = convert_to(replace(convert_from(leaf, 'UTF8'), 'aurora', 'boulde'), 'UTF8'), "
        "agency = 'boulde-pd' where idx = 6"
    )
    report = await scene.verify()
    assert problems(report) == {"altered"}
    assert named(report, "altered") == {6}


@pytest.mark.parametrize("column", ["hash", "place"])
async def test_an_altered_hash_or_place_is_named(scene: Scene, column: str) -> None:
    await scene.superuser.execute(f"update audit.leaf set {column} = sha256('x'::bytea) where idx = 11")
    assert named(await scene.verify(), "altered") == {11}


async def test_an_altered_column_is_named(scene: Scene) -> None:
    await scene.superuser.execute("update audit.leaf set agency = 'boulder-so' where idx = 2")
    await scene.superuser.execute("update audit.leaf set kind = 'camera' where idx = 4")
    report = await scene.verify()
    assert problems(report) == {"columns"}
    assert named(report, "columns") == {2, 4}


@pytest.mark.parametrize("columns", ["leaf", "leaf, hash", "leaf, hash, place", "leaf, hash, place, kind, ends"])
async def test_swapped_leaves_are_both_named(scene: Scene, columns: str) -> None:
    await scene.superuser.execute("drop index audit.leaf_ends")
    await scene.superuser.execute(
        f"update audit.leaf a set ({columns}) = row({', '.join('b.' + name.strip() for name in columns.split(','))}) "
        "from audit.leaf b where (a.idx, b.idx) in ((4, 9), (9, 4))"
    )
    report = await scene.verify()
    assert named(report, "moved") == {4, 9}
    assert named(report, "missing", "altered", "undecodable", "beyond") == set()
    details = {item.first: item.detail for item in report.findings if item.problem == "moved"}
    assert "9" in details[4]
    assert "4" in details[9]


async def test_rows_whose_indexes_were_swapped_are_both_named(scene: Scene) -> None:
    for statement in ("set idx = -1 where idx = 4", "set idx = 4 where idx = 9", "set idx = 9 where idx = -1"):
        await scene.superuser.execute("alter table audit.leaf drop constraint if exists leaf_idx_check")
        await scene.superuser.execute(f"update audit.leaf {statement}")
    report = await scene.verify()
    assert named(report, "moved") == {4, 9}
    assert named(report, "missing", "altered", "undecodable", "beyond") == set()


async def test_a_row_that_was_put_elsewhere_is_named_at_both_places(scene: Scene) -> None:
    await scene.superuser.execute("update audit.leaf set idx = 20 where idx = 5")
    report = await scene.verify()
    assert named(report, "missing") == {5}
    assert named(report, "moved") == {20}
    assert named(report, "beyond") == {20}


async def test_rows_beyond_the_head_are_named(scene: Scene) -> None:
    await scene.superuser.execute(
        "insert into audit.leaf (idx, leaf, hash, place, kind) "
        "select 20, leaf, hash, place, 'x' from audit.leaf where idx = 0"
    )
    assert named(await scene.verify(), "beyond") == {20}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("root = sha256('x'::bytea)", {"head"}),
        ("frontier = array[root]", {"head"}),
        ("size = size - 2", {"head", "beyond"}),
        ("size = size + 2", {"missing"}),
    ],
)
async def test_a_head_that_does_not_match_is_named(scene: Scene, damage: str, found: set[str]) -> None:
    await scene.superuser.execute(f"update audit.head set {damage}")
    assert problems(await scene.verify()) == found


async def test_a_missing_head_is_named(scene: Scene) -> None:
    await scene.superuser.execute("delete from audit.head")
    assert problems(await scene.verify()) >= {"head", "beyond"}


async def test_a_cut_tail_is_exposed_by_an_older_receipt(scene: Scene) -> None:
    await scene.superuser.execute("delete from audit.leaf where idx >= 16")
    assert named(await scene.verify(), "missing") == {16, 17, 18, 19}
    await scene.rebuild_head()
    assert problems(await scene.verify()) == set(), "the log alone cannot know"
    report = await scene.verify(scene.receipts[17])
    assert problems(report) == {"cut"}
    assert named(report, "cut") == {16, 17}
    assert problems(await scene.verify(scene.receipts[15])) == set()


async def test_a_rewrite_of_leaf_hash_and_place_breaks_the_head(scene: Scene) -> None:
    await scene.rewrite(8, scene.receipts[8].leaf.replace(b"aurora-pd", b"boulderpd"))
    await scene.superuser.execute("update audit.leaf set agency = 'boulderpd' where idx = 8")
    assert problems(await scene.verify()) == {"head"}


async def test_a_rewrite_of_leaf_hash_place_and_head_is_exposed_by_an_older_receipt(scene: Scene) -> None:
    await scene.rewrite(8, scene.receipts[8].leaf.replace(b"aurora-pd", b"boulderpd"))
    await scene.superuser.execute("update audit.leaf set agency = 'boulderpd' where idx = 8")
    await scene.rebuild_head()
    assert problems(await scene.verify()) == set(), "the log alone cannot know"
    own = await scene.verify(scene.receipts[8])
    assert problems(own) == {"rewritten"}
    assert 8 in named(own, "rewritten")
    assert any((item.first, item.last) == (8, 8) and "receipt" in item.detail for item in own.findings)
    others = await scene.verify(scene.receipts[5], scene.receipts[14])
    assert named(others, "rewritten") == set(range(6, 15)), (
        "between the last receipt that fits and the first that does not"
    )
    assert problems(await scene.verify(scene.receipts[7])) == set(), "a receipt from before says nothing"


async def test_an_unreadable_leaf_is_named_even_if_all_hashes_fit(scene: Scene) -> None:
    for index, leaf in ((3, b"\xff\xfe"), (7, b"[]"), (9, scene.receipts[9].leaf.replace(b":", b": ", 1))):
        await scene.rewrite(index, leaf)
    await scene.rebuild_head()
    assert named(await scene.verify(), "undecodable") == {3, 7, 9}


async def test_questions_without_an_end_are_open_while_young_and_a_fault_later(scene: Scene) -> None:
    log = GreedyLog(
        PostgresConnect(scene.database.url("platetrail_search")), Sealer(X25519PrivateKey.generate().public_key())
    )
    await log.start()
    young = await log.append(Entry(kind="intent", public={"at": datetime.now(UTC).isoformat()}))
    old = await log.append(Entry(kind="intent", public={"at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}))
    await log.stop()
    report = await scene.verify()
    assert report.open == (young.index,)
    assert problems(report) == {"unended"}
    assert named(report, "unended") == {old.index}
