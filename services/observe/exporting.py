"""Where spans go: to an OpenTelemetry collector, over OTLP/HTTP, by a thread of their own.

A collector that is away costs spans and nothing else: what waits for it is bounded, and what does not fit is dropped.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from services.settings import Settings

WAITING: Final = 8192
"""Spans that wait for the collector at the most, about a kilobyte each."""

EXPORT_S: Final = 5.0
END_S: Final = 2.0
"""How long the last spans may take when a process ends."""


def provider(service: str, settings: Settings, exporter: SpanExporter | None = None) -> TracerProvider:
    """Return where a service's spans go; requests are sampled by their share, records as their request was."""
    resource = Resource.create(
        {
            "service.name": f"platetrail-{service}",
            "service.namespace": "platetrail",
            "service.instance.id": settings.instance,
            "service.version": version("platetrail"),
        }
    )
    made = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.traces_sample)), resource=resource, shutdown_on_exit=False
    )
    exporter = exporter or OTLPSpanExporter(settings.traces_endpoint or None, timeout=EXPORT_S)
    made.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=WAITING))
    return made


@contextlib.contextmanager
def exporting(service: str, settings: Settings) -> Iterator[TracerProvider]:
    """Send spans to the collector while the block runs, and the last ones for two seconds after it."""
    made = provider(service, settings)
    try:
        yield made
    finally:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the process has said its last line
        # A collector that is away keeps it longer: the process does not wait for that.
        ending = threading.Thread(target=made.shutdown, daemon=True)
        ending.start()
        ending.join(END_S)
