"""The gateway over HTTP: who pushes, how much, in what form; then 202 for what the broker has, or a problem.

The routes read the body themselves, chunk by chunk, so that a body over the limit is refused before it is in memory,
and nothing of a camera without a key is read at all.
"""

import asyncio
import functools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest import bodies, envelopes
from ingest.budget import REQUEST_BYTES, Budget, Held
from ingest.errors import Limited, SlowDown, Unavailable
from ingest.formats import table
from ingest.formats.payload import NotUsable
from ingest.identify import Brought, Identify, Refused
from ingest.inflate import STATE_BYTES, Inflater
from ingest.rates import Rates
from ingest.receive import Item, Receiver
from ingest.tally import Tallies
from schemas.cameras import Camera
from schemas.health import Refusal
from schemas.problems import MEDIA_TYPE, Problem

DETECTIONS_PATH: Final = "/v1/detections"
OPENALPR_PATH: Final = "/v1/webhooks/openalpr"
PUSH_PATH: Final = "/v1/push/{token}"
KEEP_ALIVE_PATH: Final = "/v1/webhooks/dahua/NotificationInfo/KeepAlive"

WEBHOOKS: Final = {
    OPENALPR_PATH: table.OPENALPR,
    "/v1/webhooks/platerecognizer": table.PLATERECOGNIZER,
    "/v1/webhooks/hikvision": table.HIKVISION,
    "/v1/webhooks/dahua": table.DAHUA,
    "/v1/webhooks/dahua/NotificationInfo/TollgateInfo": table.DAHUA_ITSAPI,
    KEEP_ALIVE_PATH: table.DAHUA_ITSAPI,
    "/v1/webhooks/axis": table.AXIS,
    "/v1/webhooks/ngsi": table.NGSI,
    "/v1/webhooks/genetec": table.GENETEC,
    "/v1/webhooks/verkada": table.VERKADA,
    "/v1/webhooks/frigate": table.FRIGATE,
}
"""Where cameras push, and the format that they are expected to push there."""

RETRY_AFTER_S: Final = 2

SIGNED_BYTES: Final = 256 * 1024
"""Largest body that is read before it is known whose it is: signed messages hold one read and no picture."""

_NOBODY: Final = ""
"""In whose name such bodies are held: one share for all of them, and no camera's."""

_SENT_AS_MEANT: Final = frozenset({"not_a_motor_vehicle"})
"""Reasons of rejections that are no fault of the message: its camera gets the answer that it expects."""

_FAULTS: Final = {
    "not_json": "The body is not JSON in UTF-8 (RFC 8259).",
    "duplicate_key": "An object in the body has one key twice.",
    "too_deep": "The body is nested too deeply.",
    "too_large": "The body holds far more than cameras' messages do.",
    "not_xml": "The body is not XML in UTF-8, or has a DTD.",
    "wrong_charset": "The body is declared to be in another charset than UTF-8.",
    "not_multipart": "The body is not multipart as its Content-Type says (RFC 2046).",
    "too_many_parts": "The body has too many parts.",
    "no_message": "No part of the body is a message of a format that is known here.",
    "not_gzip": "The body is not one whole gzip file (RFC 1952), of a few members at most.",
}

_REFUSALS: Final[dict[int, Refusal]] = {
    400: "unreadable",
    403: "no_format",
    408: "unreadable",
    413: "unreadable",
    415: "unreadable",
    429: "too_fast",
}
"""What a camera that has proved itself is told by status, as its health counts it. Items are counted one by one."""

_KEEP_ALIVE: Final = {"Active": "keepAlive"}
"""What a keep-alive without a body says."""

Reader = Callable[[bytes], Sequence[Any]]
"""Makes payloads of a body. Raises NotUsable or TooMany."""

Count = Callable[[str, str, str, int], None]
"""Counts items: format, status, reason, how many."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may bring, and how long its body may take. `body_bytes` is of what a gzip body holds, too."""

    body_bytes: int
    items: int
    body_timeout_s: float = 30.0


class Received(msgspec.Struct, kw_only=True):
    """The answer: how many items the broker has, and what became of each."""

    accepted: int
    items: list[Item]


class _Refused(Exception):
    """This request ends with a problem."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.status)
        self.problem = problem
        self.headers = headers or {}


class Gateway:
    """The routes, and what they share."""

    def __init__(
        self,
        receiver: Receiver,
        identify: Identify,
        budget: Budget,
        limits: Limits,
        *,
        rates: Rates | None = None,
        tallies: Tallies | None = None,
        count: Count = lambda *_: None,
        count_limited: Callable[[Limited.Reason], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know the parts. Without `rates` cameras may push as fast as they can.

        `count_limited` is told why a camera was asked to slow down.
        """
        self._receiver = receiver
        self._identify = identify
        self._budget = budget
        self._limits = limits
        self._rates = rates
        self._tallies = tallies or Tallies()
        self._count = count
        self._count_limited = count_limited
        self._clock = clock
        self._monotonic = monotonic

    def routes(self) -> list[Route]:
        """Return the gateway's routes. At each a camera must prove itself."""
        return [
            Route(DETECTIONS_PATH, self.detections, methods=["POST"], name="push_detections"),
            Route(PUSH_PATH, self.push, methods=["POST"], name="push_by_url"),
            *(
                Route(path, functools.partial(self.webhook, path), methods=["POST"], name=operation_of(path))
                for path in WEBHOOKS
            ),
        ]

    async def detections(self, request: Request) -> Response:
        """Take native detections: one, an array, or NDJSON."""
        return await self._answered(request, DETECTIONS_PATH, table.NATIVE)

    async def webhook(self, path: str, request: Request) -> Response:
        """Take what a vendor's camera or agent pushes: one message, an array, or a form with a message in it."""
        return await self._answered(request, path, WEBHOOKS[path])

    async def push(self, request: Request) -> Response:
        """Take what a device pushes that can be given nothing but a URL: in the format that it is registered with."""
        token = request.path_params["token"]
        # From here on nobody who writes down where a request went can write down the token.
        request.scope.update(path=PUSH_PATH, raw_path=PUSH_PATH.encode(), path_params={})
        return await self._answered(request, PUSH_PATH, None, token)

    async def _answered(self, request: Request, path: str, format_: str | None, token: str | None = None) -> Response:
        request.state.camera_id = None
        answer = await self._answer(request, path, format_, token)
        if request.state.camera_id is not None:
            self._tallies.heard(request.state.camera_id, self._clock())
            if answer.status_code in _REFUSALS:
                self._tallies.refused(request.state.camera_id, _REFUSALS[answer.status_code])
        return answer

    async def _answer(self, request: Request, path: str, format_: str | None, token: str | None) -> Response:
        try:
            return await self._pushed(request, path, format_, _brought(request, token))
        except Refused as nobody:
            problem = Problem(status=nobody.status, detail=nobody.detail)
            return _answer_problem(problem, {"Connection": "close"}, nobody.challenges)
        except _Refused as refused:
            return _answer_problem(refused.problem, refused.headers)
        except Limited as limited:
            self._count_limited(limited.reason)
            return _come_again(429, "This camera sends more than one camera may.", limited.retry_after_s)
        except NotUsable as fault:
            return _answer_problem(Problem(status=400, detail=_FAULTS[fault.reason]), {"Connection": "close"})
        except SlowDown as slow:
            return _come_again(
                503, "More is under way than can be held. Send all of it again later.", slow.retry_after_s
            )
        except Unavailable:
            return _come_again(
                503, "The broker has not acknowledged. Send all of it again: nothing is taken twice.", RETRY_AFTER_S
            )
        except ClientDisconnect:
            return _answer_problem(Problem(status=400, detail="The body was cut short."))

    async def _pushed(self, request: Request, path: str, format_: str | None, brought: Brought) -> Response:
        """Take one request of a camera that proves itself; raise for one that is refused."""
        signed: bytes | None = None
        if self._identify.is_signed(brought, format_):
            signed = await self._signed_body(request)
            camera = self._identify.signed(brought, signed)
        else:
            camera = await self._identify.camera(brought, format_)
        request.state.camera_id = camera.camera_id
        if self._rates is not None:
            self._rates.request(camera.camera_id, self._monotonic())
        format_ = format_ or _format_of(camera)
        read = _reader(request, path, self._limits.items)
        with self._budget.holding(camera.camera_id) as held:
            held.add(REQUEST_BYTES)
            if signed is None:
                body = await self._body(request, held, self._limits.body_bytes)
            else:
                held.add(len(signed))
                body = signed
            return await self._received(camera, format_, read, body, held)

    async def _signed_body(self, request: Request) -> bytes:
        """Read a body whose signature is to be checked: a small one, of which nobody knows yet whose it is."""
        if request.headers.get("content-encoding", "").lower() not in ("", "identity"):
            raise _closing(Problem(status=415, detail="Send what was signed as it is, not encoded."))
        with self._budget.holding(_NOBODY) as held:
            held.add(REQUEST_BYTES)
            return await self._body(request, held, min(self._limits.body_bytes, SIGNED_BYTES))

    async def _body(self, request: Request, held: Held, limit: int) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > limit):
            raise _too_large(f"A body has at most {limit} bytes.")
        body = bytearray()
        pieces = (
            _unpacked(request, held)
            if bodies.is_gzip(request.headers.get("content-encoding", ""))
            else request.stream()
        )
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for piece in pieces:
                    if len(body) + len(piece) > limit:
                        raise _too_large(f"A body has at most {limit} bytes.")
                    held.add(len(piece))
                    body += piece
        except TimeoutError:
            raise _closing(Problem(status=408, title="Too slow", detail="The body took too long.")) from None
        return bytes(body)

    async def _received(self, camera: Camera, format_: str, read: Reader, body: bytes, held: Held) -> Response:
        try:
            payloads = read(body)
        except NotUsable as fault:
            raise _Refused(Problem(status=400, detail=_FAULTS[fault.reason])) from None
        except bodies.TooMany:
            raise _too_large(f"A request has at most {self._limits.items} items.") from None
        if self._rates is not None:
            self._rates.items(camera.camera_id, len(payloads), self._monotonic())
        prepared = self._receiver.prepare(format_, camera, payloads, self._clock())
        del payloads  # they take many times the bytes of the body, and the broker may take its time
        held.add(prepared.size_bytes())
        items = await self._receiver.publish(prepared)
        for (status, reason), number in Counter((item.status, item.reason or "") for item in items).items():
            self._count(prepared.format_, status, reason, number)
        if items and not prepared.letters and all(_is_fault(item) for item in items):
            raise _Refused(_unusable(items))
        return _taken(prepared.format_, items)


def operation_of(path: str) -> str:
    """Return the name of the operation behind a webhook's path."""
    return "push_" + path.removeprefix("/v1/webhooks/").replace("/", "_").lower()


async def _unpacked(request: Request, held: Held) -> AsyncIterator[bytes]:
    """Yield what is in a gzip body, in bounded steps. Raises NotUsable if it is none, or was cut short."""
    held.add(STATE_BYTES)
    inflater = Inflater()
    async for chunk in request.stream():
        for piece in inflater.feed(chunk):
            yield piece
    inflater.end()


def _brought(request: Request, token: str | None) -> Brought:
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope["query_string"]
    uri = (path + b"?" + query if query else path).decode("latin-1")
    server = request.scope.get("server")  # of a Unix socket its path, without a port
    socket = server[0] if server is not None and server[1] is None else None
    return Brought(headers=request.headers, method=request.method, uri=uri, token=token, socket=socket)


def _format_of(camera: Camera) -> str:
    """Return the format that a camera is registered with; raise _Refused for none, or one that is not known here."""
    if camera.format not in table.PARSERS:
        raise _closing(Problem(status=403, detail="This camera is not registered with a format that is known here."))
    return camera.format


def _reader(request: Request, path: str, limit: int) -> Reader:
    """Return what makes payloads of this request's body; raise _Refused for a media type that is not taken."""
    declared, encoding = request.headers.get("content-type", ""), request.headers.get("content-encoding", "")
    try:
        if path == DETECTIONS_PATH:
            kind = bodies.media_type(declared, encoding, lines=True)
            return lambda body: bodies.payloads(body, kind, limit)
        envelopes.check(declared, encoding)
    except bodies.UnsupportedMediaType:
        native = path == DETECTIONS_PATH
        taken = f"{bodies.JSON} or {bodies.NDJSON}" if native else f"{bodies.JSON}, {envelopes.XML} or {envelopes.FORM}"
        raise _closing(Problem(status=415, detail=f"Send {taken} in UTF-8, as it is or as gzip.")) from None
    if path == KEEP_ALIVE_PATH:
        return lambda body: envelopes.messages(body, declared) if body else [_KEEP_ALIVE]
    return lambda body: envelopes.messages(body, declared)


def _is_fault(item: Item) -> bool:
    return item.status == "rejected" and item.reason not in _SENT_AS_MEANT


def _taken(format_: str, items: list[Item]) -> Response:
    """Return the answer that a camera of this format expects when its message was taken."""
    answer = table.ANSWERS[format_]
    if answer.body is not None:
        return Response(answer.body, status_code=answer.status, media_type=answer.media_type)
    report = Received(accepted=sum(item.status == "accepted" for item in items), items=items)
    return Response(msgspec.json.encode(report), status_code=answer.status, media_type=bodies.JSON)


def _unusable(items: Sequence[Item]) -> Problem:
    """Return the problem of a request in which no item could be used."""
    errors: tuple[dict[str, str | int], ...] = tuple(
        {"index": item.index, "pointer": item.pointer, "detail": item.reason or ""} for item in items
    )
    return Problem(status=422, detail="No item could be used; `errors` says why, item by item.", errors=errors)


def _too_large(detail: str) -> _Refused:
    return _closing(Problem(status=413, detail=detail))


def _closing(problem: Problem, headers: dict[str, str] | None = None) -> _Refused:
    """Return a refusal that ends the connection: the rest of the body is not read, so nothing can follow it."""
    return _Refused(problem, {**(headers or {}), "Connection": "close"})


def _come_again(status: int, detail: str, retry_after_s: int) -> Response:
    """Return a 429 or 503. It ends the connection too: part of the body may be unread."""
    headers = {"Retry-After": str(retry_after_s), "Connection": "close"}
    return _answer_problem(Problem(status=status, detail=detail), headers)


def _answer_problem(
    problem: Problem, headers: dict[str, str] | None = None, challenges: Sequence[str] = ()
) -> Response:
    answer = Response(problem.body(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)
    for challenge in challenges:
        answer.headers.append("WWW-Authenticate", challenge)
    return answer
