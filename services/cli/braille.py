"""A map in characters: lines in braille dots (2 by 4 a character), points as their numbers."""

import math
from collections.abc import Sequence
from typing import Final

from rich.text import Text

COLUMNS: Final = 72
ROWS: Final = 18
KM_A_DEGREE: Final = 111.195
"""Of latitude, on a sphere of mean radius."""

BLANK: Final = 0x2800
DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the braille patterns block, by row and column of the dot (Unicode 17, chapter 21.1)."""

Place = tuple[float, float]
"""Latitude and longitude in degrees."""


def draw(places: Sequence[Place], lines: Sequence[tuple[int, int]]) -> tuple[Text, str]:
    """Return a map of places, and its scale in words. `lines` join places by index.

    Equirectangular about the middle latitude: a sketch to see the way by, not to measure in.
    """
    canvas = _Canvas(places)
    for a, b in lines:
        canvas.line(places[a], places[b])
    for number, place in enumerate(places, start=1):
        canvas.label(place, str(number))
    return canvas.text(), canvas.scale()


class _Canvas:
    def __init__(self, places: Sequence[Place]) -> None:
        self._squeeze = math.cos(math.radians(sum(lat for lat, _ in places) / len(places)))
        x = [lon * self._squeeze for _, lon in places]
        y = [lat for lat, _ in places]
        self._left, self._top = min(x), max(y)
        width, height = max(x) - min(x), max(y) - min(y)
        # Degrees a dot, the same both ways: a character is two dots by four, and about twice as high as wide.
        self._step = max(width / (COLUMNS * 2 - 8), height / (ROWS * 4 - 4), 1e-4)
        self._columns = max(24, min(COLUMNS, int(width / self._step / 2) + 5))
        self._rows = max(3, min(ROWS, int(height / self._step / 4) + 1))
        self._bits = [[0] * self._columns for _ in range(self._rows)]
        self._labels: dict[tuple[int, int], str] = {}

    def _dot(self, place: Place) -> tuple[int, int]:
        lat, lon = place
        across = round((lon * self._squeeze - self._left) / self._step) + 2
        down = round((self._top - lat) / self._step)
        return min(across, self._columns * 2 - 1), min(down, self._rows * 4 - 1)

    def line(self, start: Place, end: Place) -> None:
        (x0, y0), (x1, y1) = self._dot(start), self._dot(end)
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            x, y = x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps)
            self._bits[y // 4][x // 2] |= DOTS[y % 4][x % 2]

    def label(self, place: Place, text: str) -> None:
        """Write a number, unless an earlier one stands there."""
        x, y = self._dot(place)
        column = min(x // 2, self._columns - len(text))
        if any((y // 4, column + at) in self._labels for at in range(-1, len(text) + 1)):
            return
        for at, mark in enumerate(text):
            self._labels[y // 4, column + at] = mark

    def text(self) -> Text:
        drawn = Text()
        for row, bits in enumerate(self._bits):
            for column, value in enumerate(bits):
                mark = self._labels.get((row, column))
                drawn.append(mark or (chr(BLANK + value) if value else " "), style="bold cyan" if mark else "green")
            drawn.append("\n")
        drawn.right_crop(1)
        return drawn

    def scale(self) -> str:
        """Return how far ten characters reach."""
        kilometres = self._step * 20 * KM_A_DEGREE
        return f"{'─' * 10} {kilometres:,.0f} km" if kilometres >= 2 else f"{'─' * 10} {kilometres * 1000:,.0f} m"
