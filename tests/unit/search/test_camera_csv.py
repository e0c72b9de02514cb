"""Cameras as tables."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import keys
from search import camera_csv
from search.camera_csv import MAX_FLAWS, MAX_ROWS, Flawed, read, write
from search.cameras import build, checked, view

HEADER = "camera_id,name,latitude,longitude,timezone"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FULL: dict[str, Any] = {
    "camera_id": "i70-west-12",
    "name": "I-70 west, km 12",
    "latitude": 39.74,
    "longitude": -105.21,
    "timezone": "America/Denver",
    "heading_deg": 271.5,
    "clock_use": "offset",
    "clock_offset_s": -3600.25,
    "clock_uncertainty_s": 1e-05,
    "lanes": 3,
    "format": "hikvision",
    "handling": "standard",
    "active_from": "2026-04-01T00:00:00-06:00",
    "active_until": "2026-10-01T06:00:00Z",
    "proof": "certificate",
    "certificate_sha256": "0f" * 32,
    "network": "front-range",
}


def flaws(text: str | bytes) -> list[tuple[int, str]]:
    """Return row and column of every flaw of a table."""
    with pytest.raises(Flawed) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    return [(flaw.row, flaw.column) for flaw in caught.value.flaws]


def test_a_table_is_cameras() -> None:
    text = f'\ufeff{HEADER},heading_deg,lanes\r\na-1,"Bridge, ""north""",38.5,-90,America/Chicago,,2\r\n,,,,,,\r\n'
    ((row, camera),) = read(text.encode())
    assert row == 2
    assert (camera.camera_id, camera.name, camera.latitude, camera.longitude) == ("a-1", 'Bridge, "north"', 38.5, -90.0)
    assert (camera.heading_deg, camera.lanes, camera.proof) == (None, 2, "key")


def test_what_is_exported_is_imported_again() -> None:
    new = checked(FULL)
    plain = checked({name: FULL[name] for name in ("camera_id", "name", "latitude", "longitude", "timezone")})
    exported = write([view(build(one, "north", keys.new(), AT)) for one in (new, plain)])
    assert exported.count(b"\r\n") == 3
    assert b"key_sha256" not in exported
    with pytest.raises(Flawed):
        read(exported)  # the same id twice
    first, second = exported.replace(b"i70-west-12", b"i70-west-13", 1).splitlines(keepends=True)[1:]
    header = exported.splitlines(keepends=True)[0]
    ((_, again),) = read(header + first.replace(b"i70-west-13", b"i70-west-12"))
    ((_, again_plain),) = read(header + second)
    assert build(again, "north", _KEY, AT) == build(new, "north", _KEY, AT)
    assert again_plain == plain


_KEY = keys.new()


def test_a_vendors_id_is_one_cameras_and_its_secret_is_not_exported() -> None:
    header, signed = (
        f"{HEADER},format,proof,device_id,signing_secret\n",
        "verkada,signature,5f0c-2b1e,sixteen-or-more-1",
    )
    ((_, new),) = read(f"{header}a,b,1,1,UTC,{signed}\n".encode())
    exported = write([view(build(new, "north", _KEY, AT))])
    assert b"5f0c-2b1e" in exported
    assert b"sixteen-or-more" not in exported
    assert b"signing_secret" not in exported
    assert flaws(f"{header}a,b,1,1,UTC,{signed}\nc,d,1,1,UTC,{signed}\n") == [(3, "device_id")]


@pytest.mark.parametrize("device_id", ["=cmd|'/C'!A0", "-1", "'=1", "@a", "5f0c-2b1e"])
def test_a_vendors_id_survives_and_is_no_formula(device_id: str) -> None:
    place = {"camera_id": "a", "name": "b", "latitude": 1.0, "longitude": 1.0, "timezone": "UTC"}
    signed = {"format": "verkada", "proof": "signature", "device_id": device_id, "signing_secret": "s" * 16}
    exported = write([view(build(checked(place | signed), "north", _KEY, AT))]).decode()
    (row,) = csv.DictReader(io.StringIO(exported))
    assert not row["device_id"].startswith(("=", "+", "-", "@"))
    cells = f"a,b,1,1,UTC,verkada,signature,{row['device_id']},{'s' * 16}"
    ((_, again),) = read(f"{HEADER},format,proof,device_id,signing_secret\n{cells}\n".encode())
    assert again.device_id == device_id


@given(st.text(min_size=1, max_size=100))
def test_any_name_survives_and_is_no_formula(name: str) -> None:
    name = " ".join(name.split())
    if not name or not name.isprintable() or len(name) > 100:
        return
    try:
        new = checked(FULL | {"name": name})
        exported = write([view(build(new, "north", _KEY, AT))])
    except UnicodeEncodeError:  # half of a surrogate pair, which no body can hold
        return
    ((_, again),) = read(exported)
    assert again.name == name
    cell = exported.split(b"\r\n")[1].split(b",")[1].removeprefix(b'"')
    assert not cell.startswith((b"=", b"+", b"-", b"@"))


def test_every_flaw_is_told_with_row_and_column_and_nothing_of_the_input() -> None:
    text = (
        f"{HEADER},clock_use,lanes,proof\n"
        "Bad Id,x,38,-90,America/Chicago,,,\n"
        "ok-1,x,38,-90,America/Chicago,,,\n"
        "ok-2,x,hunter2,-190,Nowhere,perhaps,2.5,digest\n"
        "ok-1,x,38,-90,America/Chicago,,,\n"
        "ok-3,x,38\n"
        "ok-4,,nan,1e3,America/Chicago,,-1,\n"
    )
    assert flaws(text) == [
        (2, "camera_id"),
        (4, "latitude"),
        (4, "longitude"),
        (4, "clock_use"),
        (4, "lanes"),
        (4, "timezone"),
        (4, "proof"),
        (5, "camera_id"),
        (6, ""),
        (7, "name"),
        (7, "latitude"),
        (7, "longitude"),
        (7, "lanes"),
    ]
    with pytest.raises(Flawed) as caught:
        read(text.encode())
    problem = caught.value.problem()
    assert problem.status == 422
    assert b"hunter2" not in problem.body()
    assert b"Nowhere" not in problem.body()


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        f"{HEADER}\n,,,,\n",
        "camera_id,name\na,b\n",
        f"{HEADER},secret\na,b,1,1,UTC,x\n",
        f"{HEADER},name\na,b,1,1,UTC,x\n",
        f'{HEADER}\n"a,b,1,1,UTC\n',
        b"\xff\xfe" + HEADER.encode("utf-16-le"),
        b"\x00",
    ],
)
def test_what_is_no_table_of_cameras(text: str | bytes) -> None:
    assert {(row, column) for row, column in flaws(text)} == {(1, "")}


def test_a_retired_cameras_row_is_not_registered_anew() -> None:
    assert flaws(f"{HEADER},active\na,b,1,1,UTC,false\n") == [(2, "active")]
    assert read(f"{HEADER},active,revision\na,b,1,1,UTC,true,7\n".encode())


def test_a_certificate_is_in_one_row() -> None:
    header, shown = f"{HEADER},proof,certificate_sha256\n", "certificate," + "0a" * 32
    assert len(read(f"{header}a,b,1,1,UTC,{shown}\nc,d,1,1,UTC,,\ne,f,1,1,UTC,,\n".encode())) == 3
    assert flaws(f"{header}a,b,1,1,UTC,{shown}\nc,d,1,1,UTC,{shown}\n") == [(3, "certificate_sha256")]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("a\0,b,1,1,UTC", "camera_id"),
        ("a,b\0c,1,1,UTC", "name"),
        ('a,"b\nc\0",1,1,UTC', "name"),
        ("a,b,=1+1,1,UTC", "latitude"),
        ("=1,b,1,1,UTC", "camera_id"),
        ("a,b," + "9" * 400 + ",1,UTC", "latitude"),
        ("a,b,1e999,1,UTC", "latitude"),
        ("a,b,0x10,1,UTC", "latitude"),
        ("a,b,1_0,1,UTC", "latitude"),
        ("a,b,\N{ARABIC-INDIC DIGIT ONE},1,UTC", "latitude"),
        ("a,b,inf,1,UTC", "latitude"),
        ("a,b,1,1,=cmd|'/C calc'!A0", "timezone"),
    ],
)
def test_an_odd_cell_is_a_flaw_of_its_column(row: str, column: str) -> None:
    assert flaws(f"{HEADER}\n{row}\n") == [(2, column)]


def test_a_name_that_looks_like_a_formula_is_a_name() -> None:
    for cell, name in (("=1+1", "=1+1"), ("'=1+1", "=1+1"), ("'Twas here", "'Twas here"), ('"a\n b"', "a b")):
        ((_, camera),) = read(f"{HEADER}\na,{cell},1,1,UTC\n".encode())
        assert camera.name == name


def test_rows_are_numbered_as_records() -> None:
    text = f'{HEADER}\r\n\r\n"a","two\r\nlines",1,1,UTC\r\nB,b,1,1,UTC\r\n'
    assert flaws(text) == [(4, "camera_id")]


def test_a_table_has_its_limits() -> None:
    row = "c-{},b,1,1,UTC\n"
    assert len(read((HEADER + "\n" + "".join(row.format(n) for n in range(MAX_ROWS))).encode())) == MAX_ROWS
    assert flaws(HEADER + "\n" + "".join(row.format(n) for n in range(MAX_ROWS + 1))) == [(1, "")]
    with pytest.raises(Flawed) as caught:
        read((HEADER + "\n" + "X,b,99,1,UTC\n" * MAX_ROWS).encode())
    problem = caught.value.problem()
    assert len(problem.errors) == MAX_FLAWS
    assert f"{2 * MAX_ROWS - MAX_FLAWS} more" in problem.detail


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_flawed(body: bytes) -> None:
    for text in (body, HEADER.encode() + b"\n" + body):
        try:
            assert read(text)
        except camera_csv.Flawed as flawed:
            assert flawed.flaws  # noqa: PT017 - either is right
