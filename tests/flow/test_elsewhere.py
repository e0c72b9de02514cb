"""The demo on servers that settings name: it agrees there too, again and again, and takes its database away."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.elsewhere import KAFKA_VARIABLE, SUPERUSER_VARIABLE
from services.demo.fleet import ORDER
from tests.support.database import Database
from tests.support.demo import DemoRun


@pytest.fixture
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers of somebody else: the demo changes the roles of a cluster, so these are for this test alone."""
    kafka = kafka_starter.start(tmp_path_factory.mktemp("kafka"))
    try:
        postgres = postgres_starter.start(tmp_path_factory.mktemp("postgres"))
        try:
            yield {KAFKA_VARIABLE: kafka.bootstrap, SUPERUSER_VARIABLE: postgres.superuser_url()}
        finally:
            postgres.stop()
    finally:
        kafka.stop()


async def test_the_demo_runs_twice_on_servers_that_settings_name(variables: dict[str, str], tmp_path: Path) -> None:
    for before in (False, True):
        run = DemoRun(tmp_path, "--once", "--vehicles", "300", **variables)
        assert run.wait() == 0, run.output()
        text = run.output()
        assert "agrees with the truth" in text
        assert f"as {KAFKA_VARIABLE} says, as {SUPERUSER_VARIABLE} says" in text
        assert ("detections before" in text) is before
        assert {path.name for path in (run.home / "logs").iterdir()} == {f"{name}.log" for name in ORDER}
        assert await _databases(variables[SUPERUSER_VARIABLE]) == {"postgres", "template0", "template1"}


async def test_a_server_with_an_installation_is_left_alone(database: Database, tmp_path: Path) -> None:
    url = database.postgres.superuser_url()
    before = await _databases(url)
    run = DemoRun(tmp_path, "--once", **{SUPERUSER_VARIABLE: url})
    assert run.wait() == 4
    assert f"platetrail: {SUPERUSER_VARIABLE} names a server that holds an installation" in run.output()
    assert await _databases(url) == before
    connection = await asyncpg.connect(database.url("platetrail_search"))  # its password is what it was
    await connection.close()


def test_a_server_that_does_not_answer_is_said_without_its_password(tmp_path: Path) -> None:
    run = DemoRun(tmp_path, "--once", **{SUPERUSER_VARIABLE: "postgresql://root:hidden-word@127.0.0.1:9/postgres"})
    assert run.wait() == 4
    assert f"platetrail: the server of {SUPERUSER_VARIABLE} does not do it: " in run.output()
    assert "hidden-word" not in run.output()


async def _databases(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row["datname"] for row in await connection.fetch("select datname from pg_database")}
    finally:
        await connection.close()
