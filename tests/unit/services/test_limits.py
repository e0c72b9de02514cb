"""How many failures a worker bears is a setting: docs/operating.md says it of every one."""

from collections.abc import Callable

import pytest

from ingest.match import Tally
from ingest.runner import Runner
from services import health, indexer, matcher
from services.settings import Settings

WORKERS: dict[str, Callable[[Settings], Runner]] = {
    "health": health.build,
    "indexer": indexer.build,
    "matcher": lambda settings: matcher.build(settings, Tally()),
}


@pytest.mark.parametrize("name", WORKERS)
async def test_a_worker_bears_as_many_failures_as_its_settings_say(name: str) -> None:
    settings = Settings(failure_limit=7, failure_window=9, database_url="postgresql://nobody@127.0.0.1/none")
    limits = WORKERS[name](settings)._limits
    assert limits.failures == 7
    assert limits.failure_window == 9 or name == "health", "it has no window"
