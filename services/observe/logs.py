"""JSON logs that hold no value of a record: our own, and what libraries say."""

import asyncio
import contextlib
import logging
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from services.settings import Settings, Unusable, settings

TELL_S: Final = 30.0


@contextlib.asynccontextmanager
async def telling(counts: Callable[[], object], tell: Callable[[], None]) -> AsyncIterator[None]:
    """Log counts (by `tell`) whenever they have changed, not more often than each `TELL_S`, and when the block ends.

    `counts` returns a value of its own each time.
    """
    telling_changes = asyncio.create_task(_tell_changes(counts, tell))
    try:
        yield
    finally:
        telling_changes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling_changes
        tell()


async def _tell_changes(counts: Callable[[], object], tell: Callable[[], None]) -> None:
    told = counts()
    while True:
        await asyncio.sleep(TELL_S)
        now = counts()
        if now != told:
            told = now
            tell()


def configure_logging(service: str, settings: Settings) -> None:
    """Send structured logs as JSON lines to standard error, for our own code and every library.

    An exception is logged as the names of its types, outermost first, never with its text: the texts of database and
    parser errors quote values.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _name_exceptions,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level.upper()),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = Forward()
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)


def configured(service: str) -> Settings:
    """Return the settings of this process, and begin its log as they say.

    If they cannot be used, the process exits with 1, and the last line of its log says why.
    """
    try:
        found = settings()
    except Unusable as error:
        configure_logging(service, Settings.model_construct())
        tell_failure(error)
        sys.exit(1)
    configure_logging(service, found)
    return found


def exception_names(error: BaseException | None) -> str:
    """Return the types of an exception and its causes, such as `Unavailable < ConnectionDoesNotExistError[08003]`."""
    names = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        state = getattr(error, "sqlstate", None)
        names.append(type(error).__name__ + (f"[{state}]" if state else ""))
        error = error.__cause__ or error.__context__
    return " < ".join(names)


def _name_exceptions(_: Any, __: str, event: Any) -> Any:
    info = event.pop("exc_info", None)
    if info:
        error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
        event["error"] = exception_names(error)
    return event


class Forward(logging.Handler):
    """Carries what libraries log, by the message's template alone: its arguments may hold a record or a row.

    A line of code that logs over and over (a client whose broker is gone does, ten times a second) is heard once in
    `QUIET_S`, and then with the number of times in between.
    """

    QUIET_S = 10.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._heard: dict[tuple[str, int, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record without its arguments, unless its like was heard a moment ago."""
        place = (record.pathname, record.lineno, record.levelno)
        at, unheard = self._heard.get(place, (-self.QUIET_S, 0))
        if self._clock() - at < self.QUIET_S:
            self._heard[place] = (at, unheard + 1)
            return
        self._heard[place] = (self._clock(), 0)
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            template=record.msg if record.args and isinstance(record.msg, str) else "(text withheld)",
            where=f"{record.module}:{record.lineno}",
            **({"unheard": unheard} if unheard else {}),
            **({"error": exception_names(error)} if error else {}),
        )


def tell_failure(error: BaseException) -> None:
    """Log why a process ends: the text of an error of ours, which holds no values, or the place of another."""
    ours = type(error).__module__.partition(".")[0] in {"schemas", "ingest", "search", "services"}
    more = {"reason": str(error)} if ours else {"where": _place(error)}
    structlog.get_logger().error("failed", error=exception_names(error), **more)


def _place(error: BaseException) -> str:
    """Return where an error was raised, innermost last: what can be said of it without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
