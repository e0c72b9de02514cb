"""The event loop of every process: uvloop, where there is one, with one of its errors named as clients expect it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

Connect = Callable[..., Awaitable[tuple[Any, Any]]]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose streams say `ConnectionResetError` when they are written to after the other side has gone.

    uvloop says `RuntimeError` there. aiokafka knows an OSError as an outage, and goes on; on anything else its consumer
    ends for good, and its worker with it (aio-libs/aiokafka#1038): once in ten times that a broker was killed.
    """
    loop: Any = auto_loop_factory()()
    loop.create_connection = partial(_connected, loop.create_connection)
    made: asyncio.AbstractEventLoop = loop
    return made


async def _connected(connect: Connect, *given: Any, **named: Any) -> tuple[Any, Any]:
    transport, protocol = await connect(*given, **named)
    # Others than streams may need the loop's own kind of transport, to begin TLS on it.
    return (_Stream(transport) if isinstance(protocol, asyncio.StreamReaderProtocol) else transport), protocol


class _Stream:
    """A transport as it is, but for what it says when it is written to after its end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._checked()
        self._transport.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        self._checked()
        self._transport.writelines(data)

    def write_eof(self) -> None:
        self._checked()
        self._transport.write_eof()

    def _checked(self) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
