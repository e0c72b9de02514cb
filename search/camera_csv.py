"""Cameras as CSV (RFC 4180): a table into cameras, with every flaw by row and column; cameras into a table. Pure.

Rows are numbered as spreadsheets number them: the names of the columns are row 1.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.problems import Problem
from search.cameras import CameraView, NewCamera, checked
from search.errors import Invalid, SearchError

MAX_ROWS: Final = 1000
MAX_BYTES: Final = 1024 * 1024
MAX_FLAWS: Final = 500

COLUMNS: Final = tuple(name for name in NewCamera.__struct_fields__ if name != "owner")
"""What an import reads."""

SHOWN: Final = tuple(name for name in COLUMNS if name in CameraView.__struct_fields__)
"""What an export has of it: no secret."""

TOLD: Final = ("owner", "key_prefix", "active", "registered_at", "revision")
"""What only the registry sets: an export has it, an import does not look at it (but for a retired camera's row)."""

REQUIRED: Final = tuple(field.name for field in msgspec.structs.fields(NewCamera) if field.required)

_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,17})?(e-\d{1,2})?", re.ASCII)
_FLOATS: Final = frozenset({"latitude", "longitude", "heading_deg", "clock_offset_s", "clock_uncertainty_s"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a text begins that a spreadsheet may take for a formula: it is exported behind an apostrophe then."""
_TEXTS: Final = frozenset({"name", "device_id"})
"""Columns whose texts may begin like that."""


class RowFlaw(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a table: its row, its column if it is one cell's, and what would be right."""

    row: int
    column: str = ""
    detail: str


class Flawed(SearchError):
    """Mend the table: none of it was registered."""

    status = 422

    def __init__(self, flaws: Sequence[RowFlaw], status: int = 422) -> None:
        """Know every flaw that was found, in the order of the rows."""
        super().__init__("No camera was registered: `errors` says why, row by row.")
        self.flaws: Final = tuple(flaws)
        self._status = status

    def problem(self) -> Problem:
        """Return the problem document, with one error a flaw as far as `MAX_FLAWS`."""
        errors: tuple[dict[str, str | int], ...] = tuple(
            {"row": flaw.row, "column": flaw.column, "detail": flaw.detail} for flaw in self.flaws[:MAX_FLAWS]
        )
        more = len(self.flaws) - len(errors)
        detail = f"{self.detail} {more} more are not listed." if more else self.detail
        return Problem(status=self._status, detail=detail, errors=errors)


def read(body: bytes) -> list[tuple[int, NewCamera]]:
    """Return the cameras of a table with the numbers of their rows. Raises Flawed with every flaw; quotes nothing."""
    names, rows = _table(body)
    found: list[tuple[int, NewCamera]] = []
    flaws: list[RowFlaw] = []
    seen: set[tuple[str, str | None]] = set()
    for number, cells in rows:
        try:
            camera = _camera(number, names, cells)
        except Flawed as flawed:
            flaws.extend(flawed.flaws)
            continue
        for column in ("camera_id", "certificate_sha256", "device_id"):
            cell = (column, getattr(camera, column))
            if cell[1] is not None and cell in seen:
                flaws.append(RowFlaw(row=number, column=column, detail="An earlier row has the same."))
            seen.add(cell)
        found.append((number, camera))
    if flaws:
        raise Flawed(flaws)
    return found


def _table(body: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        table = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise Flawed([RowFlaw(row=1, detail="This is no CSV (RFC 4180) in UTF-8.")]) from None
    names = [name.strip() for name in table[0]] if table else []
    rows = [(number, cells) for number, cells in enumerate(table[1:], start=2) if any(cell.strip() for cell in cells)]
    wrong: list[str] = []
    if len(set(names)) != len(names):
        wrong.append("A column is named twice.")
    if not set(names) <= {*COLUMNS, *TOLD}:
        wrong.append(f"There are columns that mean nothing here; known are: {', '.join((*COLUMNS, *TOLD))}.")
    if not set(names) >= set(REQUIRED):
        wrong.append(f"The first row names the columns; these are needed: {', '.join(REQUIRED)}.")
    if not wrong and not rows:
        wrong.append("There is no row with a camera.")
    if len(rows) > MAX_ROWS:
        wrong.append(f"A request has at most {MAX_ROWS} rows.")
    if wrong:
        raise Flawed([RowFlaw(row=1, detail=detail) for detail in wrong])
    return names, rows


def _camera(number: int, names: Sequence[str], cells: Sequence[str]) -> NewCamera:
    if len(cells) != len(names):
        raise Flawed([RowFlaw(row=number, detail=f"It has {len(cells)} cells; the first row has {len(names)}.")])
    row = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
    if row.get("active", "true").lower() not in ("true", "yes", "1"):
        detail = "An import registers cameras that may push. Leave out the rows of those that are retired."
        raise Flawed([RowFlaw(row=number, column="active", detail=detail)])
    try:
        return checked({name: _value(name, cell) for name, cell in row.items() if name in COLUMNS})
    except Invalid as invalid:
        flaws = [RowFlaw(row=number, column=flaw.pointer[1:], detail=flaw.detail) for flaw in invalid.flaws]
        raise Flawed(flaws) from None


def _value(name: str, cell: str) -> str | float | int:
    """Return a cell as the JSON value that its column has; what is no number stays a text, and is a flaw then."""
    if name in _FLOATS and _NUMBER.fullmatch(cell):
        return float(cell)
    if name == "lanes" and cell.isascii() and cell.isdecimal() and len(cell) < 10:
        return int(cell)
    if name in _TEXTS and cell[0] == "'" and cell[1:].startswith(_FORMULA):
        return cell[1:]
    return cell


def write(cameras: Iterable[CameraView]) -> bytes:
    """Return cameras as a table that `read` takes again, but for retired ones' rows and for secrets."""
    return table((*SHOWN, *TOLD), (msgspec.to_builtins(camera) for camera in cameras))


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV in UTF-8, the names of the columns first; what is None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(name, row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


_CELLS: Final[dict[type, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    float: repr,
    type(None): lambda _: "",
}


def _cell(name: str, value: Any) -> str:
    text = _CELLS.get(type(value), str)(value)
    return f"'{text}" if name in _TEXTS and text.startswith(_FORMULA) else text
