"""What anybody can send before proving anything, at a real web server: bounded, and answered with a problem."""

import asyncio

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from services import heads
from tests.support.http import serving

FULL = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def app() -> FastAPI:
    """Return an application that says how long a body was."""
    made = FastAPI()

    async def measure(request: Request) -> Response:
        return Response(str(len(await request.body())))

    made.add_route("/", measure, methods=["POST"])
    return made


async def answer(*parts: bytes) -> bytes:
    """Send parts, one after another, and return all that comes back until the connection ends."""
    async with serving(app()) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            pass  # hung up on: what was answered may still be read
        try:
            return await asyncio.wait_for(reader.read(), 30)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(
    "filler",
    [b"X-Many: " + b"a" * 1000 + b"\r\n", b"a" * 1000],
    ids=["many fields", "one field"],
)
async def test_a_head_without_an_end_is_ended(filler: bytes) -> None:
    begin = b"POST / HTTP/1.1\r\nHost: a\r\n" + (b"" if filler.startswith(b"X") else b"X-One: ")
    got = await answer(begin, *(filler * 100 for _ in range(200)))
    assert got == b"" or got.startswith(b"HTTP/1.1 431")


async def test_a_long_head_is_told_so() -> None:
    """Slowly enough that the answer is read before more is sent."""
    async with serving(app()) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n")
        reading = asyncio.create_task(reader.read())
        for _ in range(100):
            if reading.done():
                break
            writer.write(b"X-Many: " + b"a" * 2000 + b"\r\n")
            await asyncio.sleep(0.02)
        got = await asyncio.wait_for(reading, 30)
        writer.close()
    assert got.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in got
    assert b"aaaa" not in got


async def test_trailers_without_an_end_are_ended() -> None:
    got = await answer(CHUNKED + b"2\r\nhi\r\n0\r\n", *(b"X-Trailer: " + b"a" * 100_000 + b"\r\n" for _ in range(200)))
    assert got == b""


async def test_a_head_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.2)
    for begin in (b"", b"POST / HTTP/1.1\r\nHost: a\r\n"):
        got = await answer(begin)
        assert got.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in got


async def test_what_is_no_http_is_a_problem() -> None:
    got = await answer(b"\x16\x03\x01\x02\x00 nothing\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in got


async def test_what_is_in_order_passes_in_any_pieces() -> None:
    close = (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"a" * 30_000 + b"\r\nContent-Length: 2\r\n\r\nhi"
    )
    pieces = [close[at : at + 997] for at in range(0, len(close), 997)]
    got = await answer(FULL, FULL, *pieces)
    assert got.count(b"HTTP/1.1 200") == 3
    chunks = b"".join(b"1\r\na\r\n" for _ in range(50_000)) + b"0\r\nX-Trailer: a\r\n\r\n"
    closing = CHUNKED.replace(b"Host: a", b"Host: a\r\nConnection: close")
    got = await answer(closing, *(chunks[at : at + 4001] for at in range(0, len(chunks), 4001)))
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(b"50000")


@pytest.mark.parametrize("key", [b"dGhlIHNhbXBsZSBub25jZQ==", b"QRS8210!"])
async def test_nobody_speaks_websocket_here_and_none_of_it_comes_back(key: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    got = await answer(head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 405")
    assert key not in got
