"""Whatever the topic `sightings` holds: it is set aside with a reason, or PostgreSQL takes its row."""

import asyncio
import io
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.adapters import copying, sql
from ingest.adapters.postgres import SightingIndex
from ingest.errors import Unwritable
from ingest.retention import wanted
from ingest.rows import COLUMNS, Row, Unfit, kept, rows
from schemas import tables, wire
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from tests.support.database import Database
from tests.support.detections import NOW, sighting
from tests.support.stages import make_days

RULES = OwnerRules()
PLAIN: dict[str, Any] = msgspec.json.decode(wire.encode(sighting(plate_raw="ABC0000")))

alphabets = st.sampled_from(["\0A", "A", "\x01\x7f", '"\\', "Ж", "車", "🚗", "aB3%xQ~_9z!K&", "\ue000\uffff\U0010ffff"])
texts = st.one_of(
    st.text(max_size=70),
    st.tuples(alphabets, st.integers(0, 3000)).map(lambda of: (of[0] * of[1])[: of[1]]),
    st.tuples(st.randoms(use_true_random=False), st.integers(0, 700)).map(
        lambda of: "".join(
            chr(of[0].choice([0x21, 0x400, 0x4E00, 0x1F300]) + of[0].randrange(90)) for _ in range(of[1])
        )
    ),
)
bounds = st.sampled_from([0, 2**7, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64, 10**30])
integers = st.one_of(
    st.integers(),
    st.tuples(bounds, st.integers(-1, 1), st.sampled_from([-1, 1])).map(lambda of: of[2] * (of[0] + of[1])),
)
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.sampled_from([3.4028234e38, 3.4028236e38, -3.4028236e38, 1e-46, 5e-324, 1.7976931348623157e308, 0, 10**300]),
)
times = st.one_of(
    st.timedeltas(timedelta(days=-40), timedelta(days=5)).map(lambda apart: (NOW + apart).isoformat()),
    st.sampled_from(["", "Z", "+14:00", "-12:00", "+23:59"]).flatmap(
        lambda offset: st.datetimes().map(lambda at: at.isoformat() + offset)
    ),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00", "9999-12-31T23:59:59.999999Z"]),
)
traits = st.none() | st.fixed_dictionaries(
    {"value": texts | st.text(min_size=40, max_size=40)},
    optional={"confidence": floats | st.none(), "code": texts, "said": texts | st.text(max_size=40) | st.none()},
)
candidates = st.lists(
    st.fixed_dictionaries({"plate": texts | st.text(max_size=32), "confidence": floats | st.floats(0, 1)}), max_size=11
)
words = st.sampled_from(["low_confidence", "attributes_disagree", "clock_skew", "position_disagrees", "arrival_time"])
FIELDS = {
    "pass_id": st.uuids().map(str),
    "revision": integers,
    "captured_at": times,
    "received_at": times,
    "plate": texts | st.none(),
    "plate_key": texts,
    "plate_raw": texts | st.text(max_size=32) | st.none(),
    "plate_confidence": floats | st.none(),
    "candidates": candidates,
    "region": texts | st.none(),
    "region_confidence": floats | st.none(),
    "camera_id": texts,
    "owner": texts,
    "position": st.fixed_dictionaries({"latitude": floats, "longitude": floats}),
    "timezone": texts,
    "clock_uncertainty_s": floats,
    "skew_s": floats,
    "make": traits,
    "model": traits,
    "colour": traits,
    "body": traits,
    "heading_deg": floats | st.none(),
    "lane": integers | st.none(),
    "doubts": st.lists(words, max_size=5) | st.lists(words, min_size=500, max_size=501),
    "normaliser_version": integers,
    "superseded_by": texts | st.none(),
    "crop": st.none() | st.fixed_dictionaries({"sha256": texts | st.binary(min_size=31, max_size=33).map(bytes.hex)}),
}
odd = st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in names})
)
FULL: dict[str, Any] = {
    "candidates": [{"plate": "🚗" * 32, "confidence": 0.123456789} for _ in range(10)],
    **{name: {"value": "車" * 40, "said": "車" * 21} for name in ("make", "model", "colour", "body")},
}
EVERY: dict[str, Any] = {
    "revision": 3,
    "plate": "ABC0001",
    "plate_raw": "abc 0001",
    "plate_confidence": 0.91,
    "candidates": [{"plate": "ABC0002", "confidence": 0.3}],
    "region": "US-CO",
    "region_confidence": 0.82,
    "position": {"latitude": 39.5, "longitude": -105.25},
    "clock_uncertainty_s": 2.5,
    "skew_s": -0.3,
    "received_at": "1999-12-31T23:59:59.999999+02:00",
    "heading_deg": 271.5,
    "lane": 2,
    "doubts": ["low_confidence", "clock_skew"],
    "superseded_by": "ABC0003",
    "crop": {"sha256": "0f" * 32},
    **{
        name: {"value": f"{name} Ж", "said": f"said {name}", "confidence": 0.5 + at / 16}
        for at, name in enumerate(("make", "model", "colour", "body"))
    },
}


class Index:
    """The index, and a loop to write to it in."""

    def __init__(self, database: Database) -> None:
        self.loop = asyncio.new_event_loop()
        self.sink = SightingIndex(database.url("platetrail_ingest"))
        self.compared: Any = None  # a connection to two tables like a batch's
        self.url = database.superuser_url
        self.loop.run_until_complete(make_days(database, wanted(NOW, RULES.longest_days())))

    def fate(self, said: dict[str, Any]) -> str:
        """Return what becomes of a message. Raises if the index refuses what should have been set aside."""
        try:
            found = wire.decode(b'{"v":1,' + msgspec.json.encode(said)[1:], Sighting)
            [row] = kept(RULES, NOW, [found])
        except wire.Undecodable:
            return "undecodable"
        except Unfit:
            return "unfit"
        if row is None:
            return "expired"
        self.loop.run_until_complete(self.sink.write([row]))
        return "written"

    def differing(self, rows: list[Row]) -> int:
        """Return how many rows are another if they are copied our way than if the client encodes them."""
        return self.loop.run_until_complete(self._differing(rows))

    async def _differing(self, rows: list[Row]) -> int:
        if self.compared is None:
            self.compared = await asyncpg.connect(self.url)
            await self.compared.execute(
                sql.CREATE_INCOMING.replace("incoming", "ours").replace(" on commit delete rows", "")
            )
            await self.compared.execute("create temporary table theirs (like ours)")
        await self.compared.execute("truncate ours, theirs")
        data = io.BytesIO(b"".join(copying.chunks(rows)))
        await self.compared.copy_to_table("ours", columns=COLUMNS, source=data, format="binary")
        await self.compared.copy_records_to_table("theirs", columns=COLUMNS, records=rows)
        assert await self.compared.fetchval("select count(*) from ours") == len(rows)
        found: int = await self.compared.fetchval(
            "select count(*) from ((table ours except table theirs) union all (table theirs except table ours)) a"
        )
        return found

    def stop(self) -> None:
        """Disconnect."""
        self.loop.run_until_complete(self.sink.stop())
        if self.compared is not None:
            self.loop.run_until_complete(self.compared.close())
        self.loop.close()


@pytest.fixture(scope="module")
def index(database: Database) -> Iterator[Index]:
    index = Index(database)
    yield index
    index.stop()


def test_every_field_that_becomes_a_column_is_made_odd() -> None:
    assert set(FIELDS) == set(Sighting.__struct_fields__)
    not_alone = {
        "latitude",
        "longitude",
        "said",
        *(f"{name}_confidence" for name in ("make", "model", "colour", "body")),
    }
    assert set(COLUMNS) - not_alone <= set(FIELDS)
    assert set(COLUMNS) == set(tables.SIGHTING.c.keys())


def test_it_is_set_aside_or_written(index: Index) -> None:
    fates = Counter[str]()

    @settings(max_examples=400, deadline=None)
    @given(changes=odd, number=st.integers(0, 9))
    @example(changes=FULL, number=0)
    def falls(changes: dict[str, Any], number: int) -> None:
        fates[index.fate({**PLAIN, "pass_id": str(uuid.UUID(int=number)), **changes})] += 1

    falls()
    assert fates["written"] > fates.total() / 4, fates
    assert fates["unfit"] > fates.total() / 5, fates


def test_it_is_copied_as_the_client_would(index: Index) -> None:
    copied = Counter[bool]()

    @settings(max_examples=300, deadline=None)
    @given(batch=st.lists(odd, min_size=1, max_size=4))
    @example(batch=[FULL, {}, FULL])
    def is_copied(batch: list[dict[str, Any]]) -> None:
        fit: dict[object, Row] = {}
        for number, changes in enumerate(batch):
            said = {**PLAIN, "pass_id": str(uuid.UUID(int=number)), **changes}
            with suppress(wire.Undecodable, Unfit):
                [row] = rows([wire.decode(msgspec.json.encode({"v": 1, **said}), Sighting)])
                fit[row.key] = row
        assert index.differing(list(fit.values())) == 0
        copied[bool(fit)] += 1

    is_copied()
    assert copied[True] > copied.total() / 2, copied


def test_each_column_is_copied_as_the_client_would(index: Index) -> None:
    [row] = rows([wire.decode(msgspec.json.encode({"v": 1, **PLAIN, **EVERY}), Sighting)])
    assert None not in row
    assert len({value for value in row if isinstance(value, float)}) == 11, "two columns in each other's place are seen"
    assert index.differing([row]) == 0


def test_a_batch_of_many_pieces_is_copied_whole(index: Index) -> None:
    [row] = rows([sighting(plate_raw="ABC0000")])
    many = [row._replace(pass_id=uuid.UUID(int=number)) for number in range(2 * copying.STEP + 1)]
    assert index.differing(many) == 0


@pytest.mark.parametrize(
    "change", [{"revision": 2**31}, {"clock_uncertainty_s": 1e39}, {"lane": 2**15}, {"make": "\ud800"}, {"said": "A"}]
)
def test_what_fits_no_column_is_refused_without_a_word_of_it(index: Index, change: dict[str, Any]) -> None:
    [row] = rows([sighting(plate_raw="ABC0000")])
    with pytest.raises(Unwritable, match=r"^a row does not fit the index$"):
        index.loop.run_until_complete(index.sink.write([row._replace(**change)]))
    assert index.fate(PLAIN) == "written"


@pytest.mark.parametrize("name", ["region", "owner", "timezone", "camera_id", "plate_key", "superseded_by", "plate"])
def test_no_text_with_a_zero_byte_is_read(index: Index, name: str) -> None:
    assert index.fate({**PLAIN, name: "A\0B"}) == "undecodable"
    assert index.fate({**PLAIN, name: "A\\u0000B"}) == "written"


@pytest.mark.parametrize(
    ("name", "most", "over"),
    [
        ("normaliser_version", 2**15 - 1, 2**15),
        ("normaliser_version", 0, -1),
        ("lane", 2**15 - 1, 2**15),
        ("revision", 2**31 - 1, 2**31),
        ("clock_uncertainty_s", 3.4e38, 3.41e38),
        ("captured_at", (NOW + timedelta(days=1)).isoformat(), (NOW + timedelta(days=1, seconds=1)).isoformat()),
        ("received_at", "0001-01-02T00:00:00Z", "0001-01-01T00:00:00+14:00"),
        ("received_at", "9999-12-30T00:00:00Z", "9999-12-31T23:59:59-12:00"),
    ],
)
def test_the_last_that_the_table_takes_is_written_and_no_further(index: Index, name: str, most: Any, over: Any) -> None:
    assert index.fate({**PLAIN, name: most}) == "written"
    assert index.fate({**PLAIN, name: over}) == "unfit"


def test_names_may_be_as_long_as_the_registry_takes_them(index: Index) -> None:
    """Beside ten candidates and four words, as long as those may be in an alphabet of two bytes a letter."""
    said = {
        "camera_id": "c" * 63,
        "owner": "o" * 63,
        "timezone": "America/Argentina/ComodRivadavia",
        "plate_raw": "Ж" * 32,
        "candidates": [{"plate": "Ж" * 32, "confidence": 0.12345} for _ in range(10)],
        **{
            name: {"value": "w" * 20, "confidence": 0.5, "said": "Ж" * 32}
            for name in ("make", "model", "colour", "body")
        },
    }
    assert index.fate({**PLAIN, **said}) == "written"
