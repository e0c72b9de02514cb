"""Who pushes: the camera behind a request, by what came with it, before anything of its body is read."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from ingest import proofs
from ingest.ports import Registry
from ingest.proofs import CertificateShown, DigestShown, KeyShown, Nonces, Shown, TokenShown, Unproved
from schemas.cameras import Camera

MAX_WAITING: Final = 100
"""Requests that may wait for a key that is not known yet; those beyond are refused at once."""

CERTIFICATE_HEADER: Final = "x-client-certificate-sha256"
PROXY_HEADER: Final = "x-proxy-secret"
KEY_HEADER: Final = "x-api-key"

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
        self._takes_ephemeral = takes_ephemeral
        self._count = count
        self._tell = tell
        self._clock = clock
        self._nonces = Nonces()
        self._waiting = 0

    async def camera(self, brought: Brought, format_: str | None) -> Camera:
        """Return the camera that pushes, on a route for this format. Raises Refused."""
        try:
            shown = self._shown(brought)
            camera = await self._find(shown)
            if camera is None:
                raise Unproved("unknown")
            self._insist_on_proof(camera, shown, brought)
        except Unproved as unproved:
            self._count(unproved.reason)
            stale = unproved.reason == "stale"
            challenges = proofs.challenges(format_, self._nonces.make(self._clock().timestamp()), stale=stale)
            raise Refused(401, "A camera must prove itself by its own key.", challenges) from None
        self._insist_on_active(camera)
        return camera

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
            return await self._awaited(lambda: self._registry.by_prefix(shown.prefix))
        if isinstance(shown, CertificateShown):
            return await self._awaited(lambda: self._registry.by_certificate(shown.fingerprint))
        return self._registry.get(shown.username)

    async def _awaited(self, look: Callable[[], Camera | None]) -> Camera | None:
        """Look; wait a little for one that is not known, since a new key gets here after its owner has it."""
        camera = look()
        if camera is not None or self._waiting >= MAX_WAITING:
            return camera
        self._waiting += 1
        try:
            give_up = time.monotonic() + self._new_key_s
            while camera is None and time.monotonic() < give_up:
                await asyncio.sleep(0.05)
                camera = look()
        finally:
            self._waiting -= 1
        return camera

    def _insist_on_proof(self, camera: Camera, shown: Shown, brought: Brought) -> None:
        try:
            self._check(camera, shown, brought)
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
