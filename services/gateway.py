"""The gateway: detections from cameras onto the stream. Run it as `python -m services.gateway`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final, NamedTuple

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest import proofs
from ingest.adapters.broker import Broker
from ingest.adapters.crops import CropFolder
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.topics import check_interval_ms
from ingest.budget import Budget
from ingest.described import describe
from ingest.errors import Unavailable
from ingest.gateway import Gateway, Limits
from ingest.identify import Identify
from ingest.rates import Rate, Rates
from ingest.receive import Receiver
from ingest.reporting import Reporting
from ingest.tally import Tallies
from schemas import ephemeral, metrics
from schemas.health import REFUSALS
from services import docs_page
from services.observe import (
    NO_TELEMETRY,
    end_failed,
    install_health,
    install_metrics,
    install_problems,
    install_shape_problems,
    run_http,
    traceparent,
)
from services.settings import Settings

NEW_KEY_S: Final = 2.0
"""How long a request waits for its key to become known: a new one gets here after its owner has it."""

MIN_PROXY_SECRET: Final = 32


def build(settings: Settings) -> FastAPI:
    """Return the service. Nothing is connected until it starts.

    Raises what `owner_rules` raises, OSError or ValueError of a file of the proxy's, Misconfigured if pictures can't be
    stored.
    """
    rules = settings.owner_rules()
    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.publish_timeout_s)
    registry = KafkaRegistry(settings.broker(), timeout_s=settings.publish_timeout_s)
    budget = Budget(settings.in_flight_limit_bytes, settings.camera_in_flight_bytes)
    forgetting = _Forgetting(settings.broker())
    tallies = Tallies()
    reports = KafkaPublisher(settings.broker(), timeout_s=settings.publish_timeout_s)
    reporting = Reporting(
        tallies,
        reports,
        every_s=settings.health_report_s,
        count=lambda outcome: counters.reports.labels(outcome).inc(),
    )
    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Platetrail gateway",
        version=version("platetrail"),
        description="Takes what cameras saw. An item is accepted once the broker has it durably.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan((publisher, registry, reports, reporting), registry, forgetting),
    )
    install_problems(app)
    install_shape_problems(app)
    counters = _install_metrics(app, budget)
    gateway = Gateway(
        Receiver(
            publisher,
            rules,
            future_limit_s=settings.future_limit_s,
            tallies=tallies,
            crops=CropFolder(settings.crops_folder) if settings.crops_folder else None,
            count_picture=lambda fate: counters.pictures.labels(fate).inc(),
            trace=traceparent,
        ),
        _identify(settings, registry, forgetting, tallies, counters),
        budget,
        Limits(body_bytes=settings.body_limit_bytes, items=settings.batch_limit),
        rates=Rates(
            Rate(settings.camera_requests_per_s, settings.camera_requests_burst),
            Rate(settings.camera_items_per_s, settings.camera_items_burst),
        ),
        tallies=tallies,
        count=lambda format_, status, reason, number: counters.items.labels(format_, status, reason).inc(number),
        count_limited=lambda reason: counters.limited.labels(reason).inc(),
    )
    app.router.routes.extend(gateway.routes())

    async def ready() -> bool:
        try:
            await registry.caught_up()
        except Unavailable:
            return False
        return True

    install_health(app, ready)
    docs_page.install(app)
    describe(app.openapi())  # last: a route that is added later makes FastAPI begin the document anew
    return app


def _identify(
    settings: Settings, registry: KafkaRegistry, forgetting: "_Forgetting", tallies: Tallies, counters: "_Counters"
) -> Identify:
    return Identify(
        registry,
        new_key_s=NEW_KEY_S,
        proxy_secret=_proxy_secret(settings),
        signature_tolerance_s=settings.signature_tolerance_s,
        proxy_socket=str(settings.listen_socket) if settings.listen_socket else None,
        takes_ephemeral=lambda: forgetting.in_time,
        count=lambda reason: counters.refused.labels(reason).inc(),
        tell=lambda camera_id, reason: _tell(tallies, camera_id, reason),
    )


def _tell(tallies: Tallies, camera_id: str, reason: proofs.Reason) -> None:
    """Count what a camera's operator should hear of; a nonce that is too old is part of HTTP Digest."""
    if reason in REFUSALS:
        tallies.refused(camera_id, reason)


class _Forgetting:
    """What the gateway has to know of the brokers before it takes reads that must be gone within minutes."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.in_time = False

    async def ask(self) -> None:
        """Find out whether the brokers let go of such reads in time; if not, or if they don't tell, none is taken."""
        log = structlog.get_logger()
        reason = ""
        for patience_s in (0.5, 2.0, 0.0):
            try:
                longest_s = ephemeral.longest_s(await check_interval_ms(self._broker))
                break
            except Unavailable as error:
                reason = str(error)
            await asyncio.sleep(patience_s)
        else:
            log.warning("no ephemeral reads are taken", reason=reason)
            return
        self.in_time = longest_s <= ephemeral.LIMIT_S
        if not self.in_time:
            cause = "the brokers' log.retention.check.interval.ms is too long"
            log.warning("no ephemeral reads are taken", would_stay_s=longest_s, reason=cause)


def _lifespan(
    parts: Sequence[AbstractAsyncContextManager[object]], registry: KafkaRegistry, forgetting: _Forgetting
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log = structlog.get_logger()
        async with AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part)
            log.info("registry", cameras=len(registry))
            await forgetting.ask()
            registry.following.add_done_callback(partial(_end_if_it_failed, app))
            yield

    return lifespan


def _end_if_it_failed(app: FastAPI, following: "asyncio.Task[None]") -> None:
    """End the process when the registry is no longer followed by a fault: it would trust keys that were taken back."""
    if not following.cancelled():
        end_failed(app, following.exception() or Unavailable("the camera registry is no longer followed"))


def _proxy_secret(settings: Settings) -> str | None:
    """Return what the proxy that ends TLS says to be known by. Raises OSError, and ValueError if it can be guessed."""
    if settings.proxy_secret_file is None:
        return None
    secret = settings.proxy_secret_file.read_text(encoding="ascii").strip()
    if len(secret) < MIN_PROXY_SECRET:
        raise ValueError(f"the proxy's secret has under {MIN_PROXY_SECRET} characters")
    return secret


class _Counters(NamedTuple):
    items: Counter
    refused: Counter
    limited: Counter
    pictures: Counter
    reports: Counter


def _install_metrics(app: FastAPI, budget: Budget) -> _Counters:
    """Serve the counters at /metrics, open like /healthz: they name no camera. Return them."""
    collected = CollectorRegistry()
    counters = _Counters(
        *(
            Counter(*metric, registry=collected)
            for metric in (
                metrics.GATEWAY_ITEMS,
                metrics.GATEWAY_REFUSED,
                metrics.GATEWAY_LIMITED,
                metrics.GATEWAY_PICTURES,
                metrics.GATEWAY_HEALTH_REPORTS,
            )
        )
    )
    held = Gauge(*metrics.GATEWAY_HELD_BYTES, registry=collected)
    held.set_function(lambda: budget.held_bytes)

    install_metrics(app, collected)
    return counters


def main() -> None:
    """Run the service until SIGTERM or SIGINT."""
    run_http("gateway", build)


if __name__ == "__main__":
    main()
