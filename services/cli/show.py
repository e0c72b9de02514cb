"""A trajectory in the terminal: a table of its points, a timeline of its days."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.queries import Answer, Doubt, Leg, Point
from schemas.sightings import Trait
from schemas.vocabulary import OTHER
from services.cli.braille import draw

CELLS_A_DAY: Final = 48
SHORT: Final = {"low_confidence": "unsure", "lookalike": "look-alike", "region_conflict": "region?"}


def trajectory(answer: Answer) -> Group:
    """Return everything that a terminal shows of an answer."""
    parts: list[Panel | Table | Text | Timeline] = [lead(answer)]
    if answer.points:
        parts.append(points_table(answer))
        if common := shared_doubts(answer.points):
            parts.append(Text(f" every point: {', '.join(map(_doubt, common))}", style="yellow"))
        if answer.splits:
            parts.append(splits(answer))
        parts.append(timeline(answer.points))
        if len({point.position for point in answer.points}) > 1:
            parts.append(map_panel(answer))
    return Group(*parts)


def joined(pages: Sequence[Answer]) -> Answer:
    """Return the pages of an answer, in order, as one answer."""
    return msgspec.structs.replace(
        pages[-1],
        points=tuple(point for page in pages for point in page.points),
        legs=tuple(leg for page in pages for leg in page.legs),
        splits=tuple(split for page in pages for split in page.splits),
        intent=pages[0].intent,
        receipt=pages[0].receipt,
    )


def lead(answer: Answer) -> Text:
    """Return the lines that stand above every answer: what it is worth, and what is not in it."""
    count = len(answer.points)
    text = Text()
    text.append(f" {answer.status} ", style="bold black on yellow")
    text.append(f"  {count} {'point' if count == 1 else 'points'}, ")
    if answer.complete:
        text.append("complete", style="green")
    else:
        text.append("not complete", style="bold yellow")
    owners = answer.withheld.owners
    if owners:
        reasons = ", ".join(f"{reason.replace('_', ' ')}: {count}" for reason, count in answer.withheld.reasons.items())
        text.append(f"; withheld: {owners} {'owner' if owners == 1 else 'owners'} ({reasons})")
    if answer.next is not None:
        text.append("; there are more pages")
    text.append(f"\n On the record as entry {answer.intent}, its outcome as entry {answer.outcome}.", style="dim")
    return text


def points_table(answer: Answer) -> Table:
    """Return the points, each with the leg that led to it."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("#", justify="right", no_wrap=True, style="bold cyan")
    table.add_column("local time", no_wrap=True)
    # No least widths: where they do not fit, rich cuts the last column off without a mark.
    table.add_column("camera, agency", overflow="fold")
    table.add_column("read, doubts", overflow="fold")
    table.add_column("vehicle", overflow="fold")
    table.add_column("way here", justify="right", no_wrap=True)
    legs, common = {leg.to: leg for leg in answer.legs}, shared_doubts(answer.points)
    for number, point in enumerate(answer.points, start=1):
        leg = legs.get(point.pass_id)
        broken = leg is not None and leg.impossible
        table.add_row(
            str(number),
            _local(point),
            Names(point.camera_id.removeprefix("cam-"), point.owner),
            _read(point, common),
            _vehicle(point),
            Text(_way(leg), style="bold red" if broken else ""),
        )
    return table


class Names:
    """A camera's name and its agency's: a name that is too long for a line breaks after a dash."""

    def __init__(self, camera: str, owner: str) -> None:
        """Take both names."""
        self._lines = ((camera, ""), (owner, "dim"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, as wide as there is room."""
        for name, style in self._lines:
            yield Text("\n".join(broken(name, options.max_width)), style=style, overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Say how wide it must and may be."""
        parts = [part for name, _ in self._lines for part in broken(name, 1)]
        return Measurement(max(map(len, parts)), max(len(name) for name, _ in self._lines))


def broken(name: str, width: int) -> list[str]:
    """Return a name in lines of at most `width` characters that end after a dash; a longer part stays whole."""
    lines = [""]
    for part in re.findall(r"[^-]*-|[^-]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return lines


def _local(point: Point) -> str:
    """Return local wall-clock time with its offset: two zones in one answer must not be mistaken for one."""
    at = datetime.fromisoformat(point.local_time)
    return f"{at:%a %d %b}\n{at:%H:%M:%S}" + f"{at:%z}".removesuffix("00")


def shared_doubts(points: Sequence[Point]) -> tuple[Doubt, ...]:
    """Return the doubts that all of several points have: said once, they do not bury the others."""
    if len(points) < 2:
        return ()
    return tuple(doubt for doubt in points[0].doubts if all(doubt in point.doubts for point in points))


def _read(point: Point, common: Sequence[Doubt]) -> Text:
    text = Text(point.plate_raw or point.plate)
    if point.plate_confidence is not None:
        text.append(f" {point.plate_confidence:.0%}", style="dim")
    if point.reads > 1:
        text.append(f"\n{point.reads} reads", style="dim")
    return text.append("".join(f"\n{_doubt(doubt)}" for doubt in point.doubts if doubt not in common), style="yellow")


def _doubt(name: str) -> str:
    return SHORT.get(name, name.replace("_", " "))


def _vehicle(point: Point) -> str:
    lines = [_word(point.colour), f"{_word(point.make)} {_word(point.body)}".strip()]
    return "\n".join(line for line in lines if line) or "-"


def _word(trait: Trait | None) -> str:
    """Return a word of the vocabulary; what the camera said, in quotes, where the vocabulary has no word for it."""
    if trait is None:
        return ""
    return f'"{trait.said}"' if trait.value == OTHER and trait.said else trait.value


def _way(leg: Leg | None) -> str:
    if leg is None:
        return ""
    speed = "" if leg.speed_kmh is None else f"\n{leg.speed_kmh:,.0f} km/h"
    return f"{leg.distance_m / 1000:,.0f} km, {span(leg.elapsed_s)}{speed}"


def span(seconds: float) -> str:
    """Return a length of time in a few characters: `42 s`, `17 min`, `3 h 05`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"


def splits(answer: Answer) -> Text:
    """Return a sentence for each place where one vehicle cannot have made both reads."""
    place = {point.pass_id: number for number, point in enumerate(answer.points, start=1)}
    lines = [
        f" split between {place.get(one.after, '?')} and {place.get(one.before, '?')}: no vehicle drives "
        + (f"{one.speed_kmh:,.0f} km/h" if one.speed_kmh is not None else "so far in no time")
        for one in answer.splits
    ]
    return Text("\n".join(lines), style="bold red")


class Timeline:
    """The days of a trajectory, one line each, a mark for every half hour with a point. Times are UTC."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Take points in time order."""
        self._rows = _rows(points)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        yield Text("")
        yield Text(" " * 14 + "".join(f"{hour:02d}:00".ljust(12) for hour in (0, 6, 12, 18)) + "UTC", style="dim")
        day, last = min(self._rows), max(self._rows)
        while day <= last:
            line = Text(f"  {day:%a %d %b}  ", style="dim")
            for cell in range(CELLS_A_DAY):
                marks = self._rows.get(day, {}).get(cell, [])
                line.append(_mark(marks), style="bold cyan" if marks else "dim")
            yield line
            day += timedelta(days=1)


def timeline(points: Sequence[Point]) -> Timeline:
    """Return the timeline of points, of which there is at least one."""
    return Timeline(points)


def _rows(points: Sequence[Point]) -> dict[date, dict[int, list[int]]]:
    rows: dict[date, dict[int, list[int]]] = {}
    for number, point in enumerate(points, start=1):
        at = point.captured_at.astimezone(UTC)
        rows.setdefault(at.date(), {}).setdefault((at.hour * 60 + at.minute) // 30, []).append(number)
    return rows


def _mark(marks: Sequence[int]) -> str:
    if not marks:
        return "·"
    return "●" if len(marks) == 1 else str(min(len(marks), 9))


def map_panel(answer: Answer) -> Panel:
    """Return the map: north is up, lines where the travel was possible, numbers as in the table."""
    places = [(point.position.latitude, point.position.longitude) for point in answer.points]
    index = {point.pass_id: number for number, point in enumerate(answer.points)}
    lines = [
        (index[leg.from_], index[leg.to])
        for leg in answer.legs
        if not leg.impossible and leg.from_ in index  # the first leg of a further page comes from the page before
    ]
    drawn, scale = draw(places, lines)
    return Panel(
        drawn,
        title="map, north up",
        title_align="left",
        subtitle=scale,
        subtitle_align="right",
        border_style="dim",
        expand=False,
    )
