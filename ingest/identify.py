"""Who pushes: the camera behind a request, by what came with it, before anything of its body is read."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from ingest import proofs
from ingest.formats import payload, verkada
from ingest.formats.table import VERKADA
from ingest.ports import Registry
from ingest.proofs import CertificateShown, DigestShown, KeyShown, Nonces, Shown, TokenShown, Unproved
from schemas.cameras import Camera

MAX_WAITING: Final = 100
"""Requests that may wait for a key that is not known yet; those beyond are refused at once."""

IN_VAIN_S: Final = 60.0
MAX_IN_VAIN: Final = 10_000
"""What was waited for in vain is not waited for again for so long, of so many at most: a key that has ended is refused
at once then, and takes nobody's place."""

CERTIFICATE_HEADER: Final = "x-client-certificate-sha256"
PROXY_HEADER: Final = "x-proxy-secret"
KEY_HEADER: Final = "x-api-key"
SIGNATURE_HEADER: Final = "verkada-signature"

_SAYS: Final[dict[proofs.Reason, str]] = {
    "ephemeral": "This camera's reads must be gone within minutes, which the broker is not set up for: none is taken.",
    "retired": "This camera is retired: nothing of it is taken.",
    "not_active": "This camera's active period has not begun, or is over: nothing of it is taken.",
}
"""What is told to whom proved itself and is refused all the same."""


class Refused(Exception):
    """No camera that may push: a status, what to tell, and the challenges of a 401."""

    def __init__(self, status: int, detail: str, challenges: tuple[str, ...] = ()) -> None:
        """Know them."""
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.challenges = challenges


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What came with a request: headers by lower-case name, method, path with query, and the path's token if any.

    `socket` is the Unix socket through which it came, if it came through one.
    """

    headers: Mapping[str, str]
    method: str
    uri: str
    token: str | None = None
    socket: str | None = None


class Identify:
    """Finds the camera of a request. `count` is told the reason of each refusal, `tell` also of which camera."""

    def __init__(
        self,
        registry: Registry,
        *,
        new_key_s: float,
        proxy_secret: str | None = None,
        proxy_socket: str | None = None,
        signature_tolerance_s: float = 300.0,
        takes_ephemeral: Callable[[], bool] = lambda: False,
        count: Callable[[proofs.Reason], None] = lambda _: None,
        tell: Callable[[str, proofs.Reason], None] = lambda *_: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know the registry, how long a new key may be unknown, and what a trusted proxy says to be known by.

        `proxy_socket` is the Unix socket that only a trusted proxy can reach. `takes_ephemeral`
        tells whether the broker would let go of such reads in time.
        """
        self._registry = registry
        self._new_key_s = new_key_s
        self._proxy_secret = proxy_secret
        self._proxy_socket = proxy_socket
        self._signature_tolerance_s = signature_tolerance_s
        self._takes_ephemeral = takes_ephemeral
        self._count = count
        self._tell = tell
        self._clock = clock
        self._nonces = Nonces()
        self._waiting = 0
        self._in_vain: dict[str, float] = {}

    async def camera(self, brought: Brought, format_: str | None) -> Camera:
        """Return the camera that pushes, on a route for this format. Raises Refused."""
        try:
            shown = self._shown(brought)
            camera = await self._find(shown)
            if camera is None:
                raise Unproved("unknown")
            with self._telling(camera):
                self._check(camera, shown, brought)
        except Unproved as unproved:
            raise self._refusal(unproved, format_) from None
        self._insist_on_active(camera)
        return camera

    def is_signed(self, brought: Brought, format_: str | None) -> bool:
        """Tell whether a request's only proof is its vendor's signature: its body has to be read first."""
        others = {CERTIFICATE_HEADER, "authorization", KEY_HEADER}
        return format_ == VERKADA and SIGNATURE_HEADER in brought.headers and others.isdisjoint(brought.headers)

    def signed(self, brought: Brought, body: bytes) -> Camera:
        """Return the camera whose vendor signed this body. Raises Refused."""
        header = brought.headers[SIGNATURE_HEADER].strip()
        try:
            device_id = verkada.device_of(payload.loads(body))
        except payload.NotUsable:
            device_id = None  # so that it is nobody's: what is wrong with a body is told to cameras alone
        try:
            now_s, tolerance_s = self._clock().timestamp(), self._signature_tolerance_s
            shown = proofs.of_signature(header, device_id, now_s=now_s, tolerance_s=tolerance_s)
            camera = self._registry.by_device(VERKADA, shown.device_id)
            if camera is None:
                raise Unproved("unknown")
            with self._telling(camera):
                proofs.check_signature(camera, shown, body)
        except Unproved as unproved:
            raise self._refusal(unproved, VERKADA) from None
        self._insist_on_active(camera)
        return camera

    def _refusal(self, unproved: Unproved, format_: str | None) -> Refused:
        self._count(unproved.reason)
        stale = unproved.reason == "stale"
        challenges = proofs.challenges(format_, self._nonces.make(self._clock().timestamp()), stale=stale)
        return Refused(401, "A camera must prove itself by its own key.", challenges)

    def _shown(self, brought: Brought) -> Shown:
        headers = brought.headers
        if CERTIFICATE_HEADER in headers:  # first, so that nobody's claim of one goes unseen beside another proof
            if self._proxy_socket is None or brought.socket != self._proxy_socket:
                proofs.check_proxy(headers.get(PROXY_HEADER), self._proxy_secret)
            return proofs.of_certificate(headers[CERTIFICATE_HEADER])
        if brought.token is not None:
            return proofs.of_token(brought.token)
        if "authorization" in headers:
            return proofs.of_authorization(headers["authorization"])
        if KEY_HEADER in headers:
            return proofs.of_key(headers[KEY_HEADER].strip())
        raise Unproved("no_proof")

    async def _find(self, shown: Shown) -> Camera | None:
        if isinstance(shown, KeyShown | TokenShown):
            return await self._awaited(shown.prefix, self._registry.by_prefix)
        if isinstance(shown, CertificateShown):
            return await self._awaited(shown.fingerprint, self._registry.by_certificate)
        return self._registry.get(shown.username)

    async def _awaited(self, name: str, look: Callable[[str], Camera | None]) -> Camera | None:
        """Look; wait a little for one that is not known, since a new key gets here after its owner has it."""
        camera = look(name)
        if camera is not None or self._waiting >= MAX_WAITING or self._in_vain.get(name, 0) > time.monotonic():
            return camera
        self._waiting += 1
        try:
            give_up = time.monotonic() + self._new_key_s
            while camera is None and time.monotonic() < give_up:
                await asyncio.sleep(0.05)
                camera = look(name)
        finally:
            self._waiting -= 1
        if camera is None:
            self._in_vain[name] = time.monotonic() + IN_VAIN_S
            if len(self._in_vain) > MAX_IN_VAIN:
                del self._in_vain[next(iter(self._in_vain))]
        return camera

    @contextlib.contextmanager
    def _telling(self, camera: Camera) -> Iterator[None]:
        """Tell of which camera it was, should what was shown not prove it."""
        try:
            yield
        except Unproved as unproved:
            self._tell(camera.camera_id, unproved.reason)
            raise

    def _check(self, camera: Camera, shown: Shown, brought: Brought) -> None:
        if not isinstance(shown, DigestShown):
            proofs.check(camera, shown)
            return
        proofs.check_digest(
            camera,
            shown,
            method=brought.method,
            uri=brought.uri,
            nonces=self._nonces,
            now_s=self._clock().timestamp(),
        )

    def _insist_on_active(self, camera: Camera) -> None:
        reason: proofs.Reason | None = None
        if not camera.active:
            reason = "retired"
        elif not camera.active_at(self._clock()):
            reason = "not_active"
        elif camera.handling == "ephemeral" and not self._takes_ephemeral():
            reason = "ephemeral"
        if reason is not None:
            self._count(reason)
            self._tell(camera.camera_id, reason)
            raise Refused(403, _SAYS[reason])
