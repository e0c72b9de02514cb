"""The gateway: detections from cameras onto the stream. Run it as `python -m services.gateway`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from ingest.budget import Budget
from ingest.described import describe
from ingest.errors import IngestError, Unavailable
from ingest.gateway import Gateway, Limits
from ingest.receive import Receiver
from schemas import metrics, owners
from services import docs_page
from services.observe import exception_names, install_health, install_problems, run_http
from services.settings import Settings

METRICS_PATH = "/metrics"


def build(settings: Settings) -> FastAPI:
    """Return the service. Nothing is connected until it starts.

    Raises OSError, ValueError or msgspec.ValidationError if the owners' rules can't be read.
    """
    rules = owners.load(settings.owners_file) if settings.owners_file else owners.OwnerRules()
    publisher = KafkaPublisher(settings.kafka_bootstrap, timeout_s=settings.publish_timeout_s)
    registry = KafkaRegistry(settings.kafka_bootstrap, timeout_s=settings.publish_timeout_s)
    budget = Budget(settings.in_flight_limit_bytes)
    app = FastAPI(
        title="Platetrail gateway",
        version=version("platetrail"),
        description="Takes what cameras saw. An item is accepted once the broker has it durably.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(publisher, registry),
    )
    install_problems(app)
    gateway = Gateway(
        Receiver(publisher, rules, future_limit_s=settings.future_limit_s),
        registry,
        budget,
        Limits(body_bytes=settings.body_limit_bytes, items=settings.batch_limit),
        count=_install_metrics(app, budget),
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


def _lifespan(
    publisher: KafkaPublisher, registry: KafkaRegistry
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        log = structlog.get_logger()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(publisher)
                await stack.enter_async_context(registry)
            except IngestError as error:
                log.error("failed", error=exception_names(error), reason=str(error))
                raise
            log.info("registry", cameras=len(registry))
            registry.following.add_done_callback(_end_if_it_failed)
            yield

    return lifespan


def _end_if_it_failed(following: "asyncio.Task[None]") -> None:
    """End the process when the registry is no longer followed by a fault: it would trust keys that were taken back."""
    if following.cancelled():
        return
    structlog.get_logger().error("the registry is no longer followed", error=exception_names(following.exception()))
    os.kill(os.getpid(), signal.SIGTERM)


def _install_metrics(app: FastAPI, budget: Budget) -> Callable[[str, str, str, int], None]:
    """Serve the counters at /metrics, open like /healthz: they name no camera. Return the function that counts."""
    collected = CollectorRegistry()
    items = Counter(*metrics.GATEWAY_ITEMS, registry=collected)
    held = Gauge(*metrics.GATEWAY_HELD_BYTES, registry=collected)
    held.set_function(lambda: budget.held_bytes)

    async def show(_: Request) -> Response:
        return Response(generate_latest(collected), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_route(METRICS_PATH, show, methods=["GET"], include_in_schema=False)

    def count(format_: str, status: str, reason: str, number: int) -> None:
        items.labels(format_, status, reason).inc(number)

    return count


def main() -> None:
    """Run the service until SIGTERM or SIGINT."""
    run_http("gateway", build)


if __name__ == "__main__":
    main()
