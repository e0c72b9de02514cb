"""Who asks a worker's own listener cannot keep the worker from ending, nor take its open files."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from services.observe import Measures, listening
from services.observe.listener import MOST, CannotListen
from services.settings import Settings
from tests.support.wait import until_async

ENDS_S = 30.0
"""Six times and more what an end takes: a listener that waits for its callers never ends."""

METRICS = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


async def ready() -> bool:
    return True


async def wait_for_ever() -> bool:
    await asyncio.Event().wait()
    return True


async def is_served(port: int) -> bool:
    """Ask whether the worker lives."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            return (await reader.read(12)).endswith(b"200")
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [METRICS * 3000, METRICS[:9], METRICS[:-4] + b"\r\nContent-Length: 9\r\n\r\n", b"\0" * 9],
    ids=["asks and does not read", "half a head", "no body", "no HTTP"],
)
async def test_a_worker_ends_whatever_its_callers_do(sent: bytes) -> None:
    served = AsyncExitStack()
    port = await served.enter_async_context(listening(Settings(), Measures("enricher").collected, ready))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    transport = writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    writer.write(sent)

    size = transport.get_write_buffer_size()

    async def is_taken() -> bool:
        nonlocal size
        before, size = size, transport.get_write_buffer_size()
        await asyncio.sleep(0.2)
        return before == size == transport.get_write_buffer_size()

    await until_async(is_taken, "the listener has taken what it takes")
    async with asyncio.timeout(ENDS_S):
        await served.aclose()
    transport.abort()


async def test_a_worker_ends_while_it_is_asked_whether_it_works() -> None:
    served = AsyncExitStack()
    port = await served.enter_async_context(listening(Settings(), Measures("enricher").collected, wait_for_ever))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    await writer.drain()
    async with asyncio.timeout(ENDS_S):
        await served.aclose()
    writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
async def test_one_that_cannot_listen_says_which_settings_and_why(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(listen_host=host, listen_port=other.getsockname()[1])
        with pytest.raises(CannotListen, match=r"^PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT: [A-Z][\w ]+") as said:
            async with listening(settings, Measures("a").collected, ready):
                pass
    assert "None" not in str(said.value)


async def test_a_listener_takes_few_connections_and_serves_again_when_they_are_gone() -> None:
    async with listening(Settings(), Measures("enricher").collected, ready) as port:
        callers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
        assert not await is_served(port), "hung up on"
        for _, one in callers:
            one.close()

        await until_async(lambda: is_served(port), "somebody else is served")
