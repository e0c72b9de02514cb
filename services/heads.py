"""uvicorn's HTTP protocol with bounds on what comes before and after a body.

The parser keeps a request's head, and the trailers of a chunked body, in memory until they are whole, however long that
takes and whoever sends them: before anybody has proved anything.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from schemas.problems import MEDIA_TYPE, Problem

HEAD_BYTES: Final = 64 * 1024
"""As long a head may be, and one read of the connection more."""

HEAD_S: Final = 30.0
"""As long a connection may take to bring a head."""


class BoundedHeads(HttpToolsProtocol):
    """Ends a connection whose head or trailers are too long (431) or whose head takes too long (408)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Begin before the first head."""
        super().__init__(*arguments, **named)
        self._in_fields = True
        self._begun = False
        self._field_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, self._end, 408)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and look how much of it lies around as part of a head or of trailers."""
        super().data_received(data)
        if not self._in_fields:
            self._stop_timer()
        elif self._begun:  # what this read holds of them is not known, and less than the next ones will be
            self._begun = False
            self._field_bytes = 0
            self._timer = self._timer or self.loop.call_later(HEAD_S, self._end, 408)
        else:
            self._field_bytes += len(data)
            if self._field_bytes > HEAD_BYTES:
                self._end(431)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_fields = self._begun = True

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_fields = False
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Begin a chunk: of a body, or, if it is the last, the trailers."""
        self._in_fields = self._begun = True

    def on_body(self, body: bytes) -> None:
        """Go on with a body."""
        self._in_fields = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; until the next one begins, uvicorn's own timer runs."""
        self._in_fields = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document, as everything else is."""
        self._end(400)

    def _end(self, status: int) -> None:
        """End the connection, with a problem unless an answer is under way."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if getattr(self.cycle, "response_complete", True):
            body = Problem(status=status).body()
            head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


PROTOCOLS: Final[dict[str, Any]] = {"http": BoundedHeads, "ws": "none"}
"""What uvicorn is to speak: HTTP alone. Its refusals of WebSocket are no problem documents, and quote what was sent."""
