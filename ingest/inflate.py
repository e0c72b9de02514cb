"""gzip (RFC 1952) undone in bounded steps: what comes out is counted while it comes, so a bomb is never unpacked. Pure.

A body is one gzip file: one member or a few, as tools that append make them, and nothing after the last.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from ingest.formats.payload import NotUsable

STEP_BYTES: Final = 64 * 1024
"""As much comes out at once, at most."""

MAX_MEMBERS: Final = 16
"""Members that one body may have: each costs a new window, so that a body of empty ones would be work for nothing."""

STATE_BYTES: Final = 48 * 1024
"""About what a decompressor holds besides what comes out of it: its window and its tables."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class Inflater:
    """One body on its way. The caller counts what it is given, and stops when that is too much."""

    def __init__(self) -> None:
        """Begin before the first member."""
        self._member = zlib.decompressobj(_GZIP)
        self._members = 1

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk of the file holds, piece by piece. Raises NotUsable for what is no gzip file."""
        while chunk:
            if self._member.eof:
                self._next_member()
            try:
                piece = self._member.decompress(chunk, STEP_BYTES)
            except zlib.error:
                raise NotUsable("not_gzip") from None
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece
        while not self._member.eof and (piece := self._rest()):
            yield piece

    def end(self) -> None:
        """Say that nothing follows. Raises NotUsable if the file was cut short."""
        if not self._member.eof:
            raise NotUsable("not_gzip")

    def _rest(self) -> bytes:
        """Return more of what went in already: a step's end may leave some of it inside."""
        try:
            return self._member.decompress(b"", STEP_BYTES)
        except zlib.error:
            raise NotUsable("not_gzip") from None

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise NotUsable("not_gzip")
        self._member = zlib.decompressobj(_GZIP)
