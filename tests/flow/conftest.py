"""What several flow tests share: a running demo, and a stream with an index behind it."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from tests.support.database import Database
from tests.support.demo import STAYING, DemoRun
from tests.support.flow import Flow, flowing


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


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of one test's own, which may freeze, kill or fill it."""
    kafka = kafka_starter.start(tmp_path / "kafka")
    try:
        yield kafka
    finally:
        if kafka.alive:
            os.kill(kafka.pid, signal.SIGCONT)
            kafka.stop()


@pytest_asyncio.fixture
async def flow(kafka: Kafka, database: Database) -> AsyncIterator[Flow]:
    """Both stages' servers, a publisher, and a camera of this test's own."""
    async with flowing(kafka, database) as own:
        yield own
