"""What libraries log, as it reaches our logs: without arguments, and not over and over."""

import logging
from collections.abc import Callable

import pytest
import structlog

from services.observe.logs import Forward
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logger(clock: Clock) -> logging.Logger:
    made = logging.getLogger("library-under-test")
    made.handlers.clear()
    made.propagate = False
    made.addHandler(Forward(clock))
    return made


@pytest.fixture
def complain(logger: logging.Logger) -> Callable[[], None]:
    return lambda: logger.error("no connection to %s", "FWD0001")


def test_a_line_that_repeats_is_heard_once_in_a_while_and_counted(complain: Callable[[], None], clock: Clock) -> None:
    with structlog.testing.capture_logs() as heard:
        for _ in range(50):
            complain()
        clock.now += Forward.QUIET_S
        complain()
        clock.now += Forward.QUIET_S
        complain()
    assert [(one["template"], one.get("unheard")) for one in heard] == [
        ("no connection to %s", None),
        ("no connection to %s", 49),
        ("no connection to %s", None),
    ]


def test_other_lines_are_heard_meanwhile_and_no_argument_ever(
    complain: Callable[[], None], logger: logging.Logger
) -> None:
    with structlog.testing.capture_logs() as heard:
        complain()
        complain()
        logger.warning("row %s", "FWD0002")
        logger.error("a text that was put together: FWD0003")
    assert [one["log_level"] for one in heard] == ["error", "warning", "error"]
    assert "FWD" not in repr(heard)
