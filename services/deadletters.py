"""The dead-letter service: operators see what was set aside, and put it back. It alone shows dead letters.

Run it as `python -m services.deadletters`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from ingest import letters_api
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.letters import KafkaLetters
from ingest.adapters.registry import KafkaRegistry
from ingest.errors import Unavailable
from ingest.letters import LetterBox, Unrecorded
from schemas import metrics
from schemas.entries import Entry
from schemas.queries import Asker
from search.audit import keys
from search.audit.adapters.postgres import PostgresConnect
from search.audit.errors import LogError
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.secrets import Sealer
from search.errors import NotAuthenticated
from services import docs_page
from services.observe import (
    NO_TELEMETRY,
    install_health,
    install_metrics,
    install_problems,
    install_shape_problems,
    run_http,
)
from services.settings import Settings, key_of, needed

NAME: Final = "deadletters"


def build(settings: Settings) -> FastAPI:
    """Return the service; it connects when it starts.

    Raises Missing if a setting is, KeyFileError for a bad key, and what `owner_rules` raises.
    """
    url = needed(settings.database_url, "database_url")
    sealer = Sealer(key_of(settings.audit_public_key_file, "audit_public_key_file", keys.read_public))
    lookups = Lookups(key_of(settings.lookup_key_file, "lookup_key_file", keys.read_secret))
    rules = settings.owner_rules()
    log = GreedyLog(PostgresConnect(url, "platetrail-deadletters-log"), sealer)
    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.publish_timeout_s)
    registry = KafkaRegistry(settings.broker(), timeout_s=settings.publish_timeout_s)
    collected = CollectorRegistry()
    judged = Counter(*metrics.DEADLETTERS_JUDGED, registry=collected)

    letters = KafkaLetters(settings.broker(), timeout_s=settings.publish_timeout_s)
    box = LetterBox(
        letters,
        registry,
        publisher,
        _record(log),
        lookups.lookup,
        rules,
        future_limit_s=settings.future_limit_s,
        count=lambda reason, result, number: judged.labels(reason, result).inc(number),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(log.stop)
            await log.start()
            await stack.enter_async_context(publisher)
            await stack.enter_async_context(registry)
            await stack.enter_async_context(letters)
            yield

    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Platetrail dead letters",
        version=version("platetrail"),
        description="What could not be used, and how to put it back once its cause is mended.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    install_problems(app)
    install_shape_problems(app)
    app.router.routes.extend(letters_api.routes(box, _identify(settings)))

    async def ready() -> bool:
        try:
            await registry.caught_up()
        except Unavailable:
            return False
        return log.ready and not registry.following.done()

    install_metrics(app, collected)
    install_health(app, ready)
    docs_page.install(app)
    letters_api.describe(app.openapi())  # last: a route that is added later makes FastAPI begin the document anew
    return app


def _record(log: GreedyLog) -> Callable[[Entry], Awaitable[int]]:
    async def record(entry: Entry) -> int:
        try:
            return (await log.append(entry)).index
        except LogError as error:
            structlog.get_logger().warning("not recorded", code=error.code)
            raise Unrecorded from None

    return record


def _identify(settings: Settings) -> letters_api.Identify:
    verifier = settings.verifier()

    def identify(authorization: str | None) -> Asker | None:
        try:
            return verifier.identify(authorization)
        except NotAuthenticated:
            return None

    return identify


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_http(NAME, build)


if __name__ == "__main__":
    main()
