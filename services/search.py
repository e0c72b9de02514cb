"""The search service: questions about plates, and the camera registry. Run it as `python -m services.search`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Final

import structlog
from fastapi import FastAPI

from schemas.queries import TravelLimits
from search.act import Act
from search.adapters.postgres import PostgresClaims, PostgresIndex, PostgresOwners, PostgresScopes, Readers
from search.adapters.registry import PostgresCameras
from search.api import cameras, trajectories
from search.api.common import install_errors
from search.ask import Door, Parts
from search.audit import keys
from search.audit.adapters.postgres import PostgresConnect
from search.audit.errors import LogError
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.secrets import Sealer
from search.cursor import Cursors
from search.errors import SearchError
from search.idempotency import Keys
from search.policy import Policy
from services import docs_page
from services.observe import NO_TELEMETRY, install_health, install_problems, install_shape_problems, run_http
from services.settings import Settings, key_of, needed

RELEASE_LEVEL: Final = "L0"
"""What covers an intent before the answer leaves: its own durable leaf. No signed checkpoint exists yet (L1)."""
RELEASE_MEANING: Final = "answers leave as soon as their record is durable in the database; no sealer signs checkpoints"


def build(settings: Settings) -> FastAPI:
    """Return the service. Nothing is connected until it starts.

    Raises Missing if a setting is missing, and what the readers of keys and rules raise.
    """
    url = needed(settings.database_url, "database_url")
    sealer = Sealer(key_of(settings.audit_public_key_file, "audit_public_key_file", keys.read_public))
    lookups = Lookups(key_of(settings.lookup_key_file, "lookup_key_file", keys.read_secret))
    log = GreedyLog(PostgresConnect(url, "platetrail-search-log"), sealer)
    readers = Readers(url)
    registry = PostgresCameras(url, sealer)
    door = _door(settings, log, readers, lookups)
    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Platetrail search",
        version=version("platetrail"),
        description="Asks where a vehicle was seen. Every question is on the record before it is answered.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(log, readers, registry, door),
    )
    install_problems(app)
    install_shape_problems(app)
    install_errors(app)

    async def ready() -> bool:
        return log.ready and await readers.answer()

    install_health(app, ready)
    verifier = settings.verifier()
    app.router.routes.extend(trajectories.routes(door, verifier))
    app.router.routes.extend(cameras.routes(Act(registry, lookups), verifier))
    docs_page.install(app)
    # Last: the application makes its document anew whenever a route was added.
    trajectories.describe(app.openapi())
    cameras.describe(app.openapi())
    return app


def main() -> None:
    """Run the service until SIGTERM or SIGINT."""
    run_http("search", build)


def _door(settings: Settings, log: GreedyLog, readers: Readers, lookups: Lookups) -> Door:
    return Door(
        Parts(
            log=log,
            index=PostgresIndex(readers),
            scopes=PostgresScopes(readers),
            owners=PostgresOwners(readers),
            keys=Keys(PostgresClaims(readers), lookups),
            lookups=lookups,
            cursors=Cursors(key_of(settings.cursor_key_file, "cursor_key_file", keys.read_secret)),
            policy=Policy(settings.owner_rules()),
            travel=TravelLimits(
                min_distance_m=settings.travel_min_distance_m,
                position_tolerance_m=settings.travel_position_tolerance_m,
                max_speed_kmh=settings.travel_max_speed_kmh,
            ),
            pass_window_s=settings.pass_window_s,
        )
    )


def _lifespan(
    log: GreedyLog, readers: Readers, registry: PostgresCameras, door: Door
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await _start(log, readers)
        yield
        await door.drain()
        await log.stop()
        await readers.stop()
        await registry.stop()

    return lifespan


async def _start(log: GreedyLog, readers: Readers) -> None:
    """Connect. Raises, so that the service does not start, if the log may not be trusted or nothing answers."""
    tell = structlog.get_logger()
    try:
        await log.start()
        await readers.start()
    except (LogError, SearchError) as error:
        tell.error("refused to start", error=type(error).__name__, reason=str(error))
        await log.stop()
        raise
    tell.warning(f"release level {RELEASE_LEVEL}", meaning=RELEASE_MEANING)


if __name__ == "__main__":
    main()
