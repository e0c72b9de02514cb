"""What several flow tests share: a running demo."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.demo import STAYING, DemoRun


@pytest.fixture(scope="session")
def _demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], DemoRun]]:
    runs: list[DemoRun] = []

    def get() -> DemoRun:
        if not runs or not runs[-1].alive:
            runs.append(DemoRun(Path(tmp_path_factory.mktemp("demo"))))
            runs[-1].until(STAYING)
        return runs[-1]

    yield get
    for run in runs:
        run.end()


@pytest.fixture
def running(_demos: Callable[[], DemoRun]) -> DemoRun:
    """A demo that stays up after its answer. A test that ends it makes the next one start another."""
    return _demos()
