"""A service whose clock jumps: `python -m tests.support.jumping FILE MODULE`, for tests alone.

The file holds by how many seconds the service's clock is wrong; it is read again and again while the service runs.
Monotonic clocks go on as they do in earnest. Each jump is a line of the log.
"""

import importlib
import json
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

LOOK_S: Final = 0.05


class Clock:
    """The wrong clock."""

    def __init__(self, file: Path) -> None:
        """Know where it is said how wrong it is."""
        self._file = file
        self._real = time.time
        self._looked_s = -LOOK_S
        self._shift_s = 0.0

    def time(self) -> float:
        """Return the Unix time by this clock."""
        if time.monotonic() - self._looked_s >= LOOK_S:
            self._looked_s = time.monotonic()
            self._look()
        return self._real() + self._shift_s

    def _look(self) -> None:
        shift_s = float(self._file.read_text() or self._shift_s)
        if shift_s != self._shift_s:
            self._shift_s = shift_s
            print(json.dumps({"event": "jumped", "to": shift_s}), file=sys.stderr, flush=True)  # noqa: T201


def jumping(clock: Clock) -> type:
    """Return what stands for the class `datetime` in a module: it makes true ones, by this clock."""

    class Meta(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, datetime)

        def __call__(cls, *arguments: Any, **named: Any) -> Any:
            return datetime(*arguments, **named)  # noqa: DTZ001 - the caller says it

        def __getattr__(cls, name: str) -> Any:
            return getattr(datetime, name)

    class Jumping(metaclass=Meta):
        @staticmethod
        def now(tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(clock.time(), tz)

    return Jumping


def main(file: str, module: str) -> None:
    """Run the service's `main` with the clock in every module of ours that asks for the time."""
    service = importlib.import_module(module)
    clock = Clock(Path(file))
    stands_for = jumping(clock)
    time.time = clock.time
    for name, one in list(sys.modules.items()):
        if name.startswith(("ingest", "services", "schemas")) and getattr(one, "datetime", None) is datetime:
            one.datetime = stands_for  # type: ignore[attr-defined]
    service.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
