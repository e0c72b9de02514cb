"""The real parts, one of each for the whole run: tests take `kafka`, `postgres`, `database` or `fresh_database`."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.kafka import Kafka
from services.demo.postgres import Postgres
from tests.support import secured as secured_starter
from tests.support.database import Database, fresh, make_roles, new_passwords
from tests.support.secured import Secured

BINDIR_VARIABLE: Final = "PLATETRAIL_TEST_POSTGRES_BINDIR"
"""Names the folder of another PostgreSQL's programs than the embedded one's, such as /usr/lib/postgresql/15/bin."""


LONG: Final = (
    "faults/test_faults.py",
    "flow/test_stopping.py",
    "flow/test_counting.py",
    "flow/test_cli.py",
    "flow/test_demo.py",
    "flow/test_bench_ingest.py",
    "flow/test_inbox.py",
    "flow/test_elsewhere.py",
    "flow/test_made_anew.py",
    "faults/test_search_faults.py",
    "contracts/test_schemathesis.py",
)
"""The files that take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: of the processes that share the files, none has to end alone."""
    places = {Path(__file__).parent / name: at for at, name in enumerate(LONG)}
    if gone := [str(path) for path in places if not path.is_file()]:
        raise pytest.UsageError(f"tests/conftest.py names files that are not there: {gone}")
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A running Apache Kafka. A test that kills or stops it starts one of its own instead."""
    broker = kafka_starter.start(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A running Apache Kafka with SCRAM users, TLS and access control lists."""
    broker = secured_starter.start(tmp_path_factory.mktemp("secured"))
    yield broker
    broker.kafka.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL with every role. A test that kills or stops it starts one of its own instead."""
    passwords = new_passwords()
    other = os.environ.get(BINDIR_VARIABLE)
    folder, bindir = tmp_path_factory.mktemp("postgres"), Path(other) if other else None
    cluster = postgres_starter.start(folder, passwords=passwords, bindir=bindir)
    make_roles(cluster, passwords)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def fresh_database(postgres: Postgres) -> Callable[[], Database]:
    """A function that makes one more database with roles and schema; `migrated=False` leaves the schema out."""
    return functools.partial(fresh, postgres)


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Database:
    """A database with roles and schema, shared by the tests of one module."""
    return fresh(postgres)
