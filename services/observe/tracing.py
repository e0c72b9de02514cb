"""Traces: a span for a request, and one for what each stage does with the records of it.

They are off unless an endpoint is set. Gateway and inbox alone decide what is sampled: what a camera or a
network says of a trace is not heard. Records of what is sampled carry its `traceparent`; others carry nothing, and
cost nothing.
"""

import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AnyValue
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest import ports
from schemas import traces
from services.observe.open_routes import OPEN_ROUTES
from services.observe.problems import route_at
from services.settings import Settings

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADER: Final = "traceparent"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WRITTEN: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
"""Version 00 of W3C Trace Context, sampled: nothing else is written by us."""


NO_TELEMETRY: Final["TelemetryConfig"] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""What every FastAPI application here is built with: its own spans quote the query and the path of a request."""


class _Process:
    """Where the spans of this process go.

    Not OpenTelemetry's global provider: a library that finds one there begins to send what it likes.
    """

    tracer: trace.Tracer | None = None


def traceparent() -> bytes | None:
    """Return what records of the request at hand carry; None if it is not sampled."""
    return _header(trace.get_current_span().get_span_context())


class Consumed:
    """What a stage does with the records of one request in one batch: `ports.Trace`."""

    def __init__(self, span: Span, messages: int) -> None:
        """Know the span, which has begun."""
        self._span = span
        self._messages = messages
        header = _header(span.get_span_context())
        assert header is not None, "its parent is sampled"
        self.header = header

    def end(self, fates: Mapping[str, int]) -> None:
        """See `ports.Trace.end`."""
        self._span.set_attributes({f"{traces.FATE}{fate}": number for fate, number in fates.items()})
        self._span.end()


class Consumers:
    """The spans of one stage."""

    def __init__(self, group: str, tracer: trace.Tracer) -> None:
        """Know the consumer group, and where spans go."""
        self._group = group
        self._tracer = tracer

    def traced(self, messages: Sequence[ports.Message]) -> Mapping[int, ports.Trace]:
        """Begin a span for each trace of which there are messages in a batch; return them by the messages' places."""
        found: dict[tuple[str, bytes], list[int]] = {}
        for at, message in enumerate(messages):
            if message.headers:
                # The first one alone: a record of ours has no more. A header may be without a value.
                header = next((value for name, value in message.headers if name == HEADER), None)
                if header:
                    found.setdefault((message.topic, header), []).append(at)
        begun: dict[int, ports.Trace] = {}
        for (topic, header), places in found.items():
            parent = _parent(header)
            if parent is not None and (one := self._begin(topic, parent, len(places))) is not None:
                begun |= dict.fromkeys(places, one)
        return begun

    def _begin(self, topic: str, parent: context.Context, messages: int) -> Consumed | None:
        """Begin a span; None if it is not sampled."""
        attributes: dict[str, AnyValue] = {
            traces.SYSTEM: "kafka",
            traces.DESTINATION: topic,
            traces.GROUP: self._group,
            traces.OPERATION: "process",
            traces.OPERATION_TYPE: "process",
            traces.MESSAGES: messages,
        }
        span = self._tracer.start_span(f"process {topic}", parent, SpanKind.CONSUMER, attributes)
        return Consumed(span, messages) if span.is_recording() else None


class Entrances(Consumers):
    """The spans of a stage at which traces begin: it reads what others write, and what they say of one is not heard."""

    def traced(self, messages: Sequence[ports.Message]) -> Mapping[int, ports.Trace]:
        """Begin a trace with each record that is sampled; return them by the records' places."""
        begun: dict[int, ports.Trace] = {}
        for at, message in enumerate(messages):
            found = self._begin(message.topic, context.Context(), 1)
            if found is not None:
                begun[at] = found
        return begun


class Requests:
    """ASGI middleware: a span for each request that is sampled, by its route; nothing of path, query or headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Know the application. It is built before spans can go anywhere."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        tracer = _Process.tracer
        if tracer is None or scope["type"] != "http" or scope["path"] in OPEN_ROUTES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        # An empty context: whatever the caller sent, this is where the trace begins.
        span = tracer.start_span(method, context.Context(), SpanKind.SERVER, {traces.METHOD: method})
        if not span.is_recording():
            await self._app(scope, receive, send)
            return

        route = route_at(scope["app"], scope)
        if route is not None:  # its template: parameters stay out
            span.set_attribute(traces.ROUTE, route.path)
            span.update_name(f"{method} {route.path}")

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                _answered(span, int(message["status"]))
            await send(message)

        token = context.attach(trace.set_span_in_context(span))
        try:
            await self._app(scope, receive, noting)
        except BaseException:
            span.set_status(Status(StatusCode.ERROR))  # and not why: an error's text may quote what was sent
            raise
        finally:
            context.detach(token)
            span.end()


def is_on(settings: Settings) -> bool:
    """Tell whether there is a collector: our own setting names it, or one that OpenTelemetry knows everywhere."""
    return bool(settings.traces_endpoint) or any(os.environ.get(name) for name in ENDPOINTS)


def of_stage(name: str) -> Consumers | None:
    """Return the spans of a stage, while they are `exported`; None if there is no collector."""
    return Consumers(f"platetrail-{name}", _Process.tracer) if _Process.tracer is not None else None


def at_entrance(group: str) -> Entrances | None:
    """Return the spans of a consumer group at which traces begin, while they are `exported`; None if not."""
    return Entrances(group, _Process.tracer) if _Process.tracer is not None else None


@contextlib.contextmanager
def exported(service: str, settings: Settings) -> Iterator[None]:
    """Send spans to the collector while the block runs, if there is one; otherwise its client is not even loaded."""
    if not is_on(settings):
        yield
        return
    from services.observe.exporting import exporting

    with exporting(service, settings) as provider:
        _Process.tracer = provider.get_tracer("platetrail")
        try:
            yield
        finally:
            _Process.tracer = None


def install_traces(app: Starlette, service: str, settings: Settings) -> None:
    """Trace the requests of an application that is not started yet, and send spans for as long as it runs.

    Not for as long as the process runs: the server ends that with the signal that ended itself.
    """
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Any]:
        with exported(service, settings):
            async with inner(app) as state:
                yield state

    app.router.lifespan_context = lifespan
    app.add_middleware(Requests)


def _answered(span: Span, status: int) -> None:
    span.set_attribute(traces.STATUS, status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _header(at: SpanContext) -> bytes | None:
    if not at.trace_flags.sampled:
        return None
    return b"00-%032x-%016x-01" % (at.trace_id, at.span_id)


def _parent(header: bytes) -> context.Context | None:
    """Return the context that a record's header names; None if it is none of ours."""
    written = _WRITTEN.fullmatch(header)
    if written is None:
        return None
    at = SpanContext(int(written[1], 16), int(written[2], 16), is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(NonRecordingSpan(at), context.Context()) if at.is_valid else None
