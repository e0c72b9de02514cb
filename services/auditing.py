"""The auditing service: shows auditors the log, and ends what a crash left open. It alone can open the log's secrets.

Run it as `python -m services.auditing`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from fastapi import FastAPI

from schemas.queries import Asker
from search.audit import api, keys
from search.audit.adapters.postgres import PostgresConnect
from search.audit.adapters.reader import PostgresReader
from search.audit.errors import LogError
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.secrets import Opener, Sealer
from search.audit.sweeper import Sweeper
from search.errors import NotAuthenticated
from search.identity import Verifier
from services import docs_page
from services.observe import NO_TELEMETRY, install_health, install_problems, install_shape_problems, run_http
from services.settings import Settings, key_of, needed

NAME: Final = "auditing"


def build(settings: Settings) -> FastAPI:
    """Return the application; it connects when it starts.

    Raises Missing if a setting is, and KeyFileError for a bad key.
    """
    url = needed(settings.database_url, "database_url")
    private = key_of(settings.audit_private_key_file, "audit_private_key_file", keys.read_private)
    log = GreedyLog(PostgresConnect(url, "platetrail-auditing-append"), Sealer(private.public_key()))
    shown, swept = PostgresReader(url), PostgresReader(url)
    lookups = Lookups(key_of(settings.lookup_key_file, "lookup_key_file", keys.read_secret))
    verifier = settings.verifier()
    sweeper = Sweeper(log, swept, settings.abandoned_after_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await log.start()
        structlog.get_logger().warning(
            "release level L0",
            meaning="answers leave as soon as their record is durable in the database; no sealer signs checkpoints",
        )
        sweeping = asyncio.create_task(sweeper.run(_tell_swept, _tell_failed), name="sweeper")
        app.state.sweeping = sweeping
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await log.stop()
            await shown.close()
            await swept.close()

    async def ready() -> bool:
        try:
            await shown.head()
        except LogError:
            return False
        return log.ready and not app.state.sweeping.done()

    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Platetrail auditing",
        description="Who asked what, and why: the audit log, for auditors.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(api.router(api.Auditor(log, shown, Opener(private), lookups), _identify(verifier)))
    install_problems(app)
    install_shape_problems(app)
    install_health(app, ready)
    docs_page.install(app)
    return app


def _identify(verifier: Verifier) -> api.Identify:
    def identify(authorization: str | None) -> Asker | None:
        try:
            return verifier.identify(authorization)
        except NotAuthenticated:
            return None

    return identify


def _tell_swept(ended: int) -> None:
    if ended:
        structlog.get_logger().warning("abandoned", ended=ended)


def _tell_failed(error: LogError) -> None:
    structlog.get_logger().error("not swept", code=error.code)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_http(NAME, build)


if __name__ == "__main__":
    main()
