"""The gateway over HTTP: who pushes, how much, in what form; then 202 for what the broker has, or a problem.

The routes read the body themselves, chunk by chunk, so that a body over the limit is refused before it is in memory,
and nothing of a camera without a key is read at all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest import bodies
from ingest.budget import Budget, Held
from ingest.errors import SlowDown, Unavailable
from ingest.formats import table
from ingest.formats.payload import NotUsable
from ingest.ports import Registry
from ingest.receive import Item, Receiver
from schemas import keys
from schemas.cameras import Camera
from schemas.problems import MEDIA_TYPE, Problem

DETECTIONS_PATH: Final = "/v1/detections"
OPENALPR_PATH: Final = "/v1/webhooks/openalpr"

RETRY_AFTER_S: Final = 2

MAX_WAITING: Final = 100
"""Requests that may wait for a key that is not known yet; those beyond are refused at once."""

_FAULTS: Final = {
    "not_json": "The body is not JSON in UTF-8 (RFC 8259).",
    "duplicate_key": "An object in the body has one key twice.",
    "too_deep": "The body is nested too deeply.",
}

Count = Callable[[str, str, str, int], None]
"""Counts items: format, status, reason, how many."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may bring, how long its body may take, and how long a key may be unknown that is new."""

    body_bytes: int
    items: int
    body_timeout_s: float = 30.0
    new_key_s: float = 2.0


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
        registry: Registry,
        budget: Budget,
        limits: Limits,
        *,
        count: Count = lambda *_: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know the parts."""
        self._receiver = receiver
        self._registry = registry
        self._budget = budget
        self._limits = limits
        self._count = count
        self._clock = clock
        self._waiting = 0

    def routes(self) -> list[Route]:
        """Return the gateway's routes. Each needs a camera's key."""
        return [
            Route(DETECTIONS_PATH, self.detections, methods=["POST"], name="push_detections"),
            Route(OPENALPR_PATH, self.openalpr, methods=["POST"], name="push_openalpr"),
        ]

    async def detections(self, request: Request) -> Response:
        """Take native detections: one, an array, or NDJSON."""
        return await self._answered(request, table.NATIVE, lines=True)

    async def openalpr(self, request: Request) -> Response:
        """Take one message of an OpenALPR / Rekor agent."""
        return await self._answered(request, table.OPENALPR, lines=False)

    async def _answered(self, request: Request, format_: str, *, lines: bool) -> Response:
        try:
            camera = await self._camera(request.headers.get("authorization", ""))
            kind = _media_type(request, lines=lines)
            with self._budget.holding() as held:
                body = await self._body(request, held)
                return await self._received(camera, format_, kind, body, held)
        except _Refused as refused:
            return _answer_problem(refused.problem, refused.headers)
        except SlowDown as slow:
            return _busy("More is under way than can be held. Send all of it again later.", slow.retry_after_s)
        except Unavailable:
            return _busy(
                "The broker has not acknowledged. Send all of it again: nothing is taken twice.", RETRY_AFTER_S
            )
        except ClientDisconnect:
            return _answer_problem(Problem(status=400, detail="The body was cut short."))

    async def _camera(self, authorization: str) -> Camera:
        """Return the camera whose key came with the request; raise _Refused for a wrong key, 403 for a retired one."""
        scheme, _, key = authorization.partition(" ")
        prefix = keys.prefix_of(key.strip()) if scheme.lower() == "bearer" else None
        camera = await self._by_prefix(prefix) if prefix else None
        if camera is None or not keys.matches(key.strip(), camera.key_sha256):
            problem = Problem(status=401, detail="A camera's own key is needed as bearer token.")
            raise _closing(problem, {"WWW-Authenticate": "Bearer"})
        if not camera.active:
            raise _closing(Problem(status=403, detail="This camera is retired: nothing of it is taken."))
        return camera

    async def _by_prefix(self, prefix: str) -> Camera | None:
        """Look a key up; wait a little for one that is not known, since a new key gets here after its owner has it."""
        camera = self._registry.by_prefix(prefix)
        if camera is not None or self._waiting >= MAX_WAITING:
            return camera
        self._waiting += 1
        try:
            give_up = time.monotonic() + self._limits.new_key_s
            while camera is None and time.monotonic() < give_up:
                await asyncio.sleep(0.05)
                camera = self._registry.by_prefix(prefix)
        finally:
            self._waiting -= 1
        return camera

    async def _body(self, request: Request, held: Held) -> bytes:
        limit = self._limits.body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > limit):
            raise _too_large(f"A body has at most {limit} bytes.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > limit:
                        raise _too_large(f"A body has at most {limit} bytes.")
                    held.add(len(chunk))
                    body += chunk
        except TimeoutError:
            raise _closing(Problem(status=408, title="Too slow", detail="The body took too long.")) from None
        return bytes(body)

    async def _received(self, camera: Camera, format_: str, kind: str, body: bytes, held: Held) -> Response:
        try:
            payloads = bodies.payloads(body, kind, self._limits.items)
        except NotUsable as fault:
            raise _Refused(Problem(status=400, detail=_FAULTS[fault.reason])) from None
        except bodies.TooMany:
            raise _too_large(f"A request has at most {self._limits.items} items.") from None
        prepared = self._receiver.prepare(format_, camera, payloads, self._clock())
        held.add(prepared.size_bytes())
        items = await self._receiver.publish(prepared)
        for (status, reason), number in Counter((item.status, item.reason or "") for item in items).items():
            self._count(format_, status, reason, number)
        if items and not prepared.letters and all(item.status == "rejected" for item in items):
            raise _Refused(_unusable(items))
        answer = Received(accepted=sum(item.status == "accepted" for item in items), items=items)
        return Response(msgspec.json.encode(answer), status_code=202, media_type=bodies.JSON)


def _media_type(request: Request, *, lines: bool) -> str:
    headers = request.headers
    try:
        return bodies.media_type(headers.get("content-type", ""), headers.get("content-encoding", ""), lines=lines)
    except bodies.UnsupportedMediaType:
        taken = f"{bodies.JSON} or {bodies.NDJSON}" if lines else bodies.JSON
        raise _closing(Problem(status=415, detail=f"Send {taken} in UTF-8, not encoded.")) from None


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


def _busy(detail: str, retry_after_s: int) -> Response:
    """Return a 503. It ends the connection too: part of the body may be unread."""
    headers = {"Retry-After": str(retry_after_s), "Connection": "close"}
    return _answer_problem(Problem(status=503, detail=detail), headers)


def _answer_problem(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(problem.body(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)
