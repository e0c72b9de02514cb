"""Where clusters of reads are cut off, so that a vehicle which stays does not hold the position back. Pure."""


class Cuts:
    """Where clusters are cut off, and what must be read to know it.

    A cluster is cut at a multiple of the cell's length (`next_s`) if two of its reads that were joined lie on both
    sides of the point one window before (`line_s`): each that reaches further back than that has such a pair.
    """

    def __init__(self, cell_s: float, window_s: float) -> None:
        """Cut at every multiple of `cell_s`; a pass takes `window_s` (both in seconds)."""
        self.next_s = 0.0
        self.line_s = 0.0
        self.quiet_from_s = 0.0
        self.quiet_until_s = 0.0
        self._cell_s, self._window_s = cell_s, window_s
        self._cell = -1
        self._mark: int | None = None
        self._marks: list[tuple[int, int]] = []

    def tick(self, offset: int, at: float) -> None:
        """Take note of a read; of one in the quiet time there is nothing to note."""
        cell = int(at // self._cell_s)
        if cell != self._cell:
            self.next_s = (cell + 1) * self._cell_s
            self.line_s = self.next_s - self._window_s
            if self._mark is not None:
                self._marks.append((self._mark, offset))
            self._cell, self._mark = cell, None
        if self._mark is None and at >= self.line_s - self._window_s:
            self._mark = offset
        self.quiet_from_s = cell * self._cell_s
        self.quiet_until_s = self.next_s if self._mark is not None else self.line_s - self._window_s

    def before(self, start: int) -> int:
        """Return an offset not after `start` from which all cuts that matter come out the same."""
        self._marks = [(mark, end) for mark, end in self._marks if start < end]
        return min((start, *(mark for mark, _ in self._marks)))
