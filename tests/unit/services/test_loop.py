"""What is written to a connection that the other side has closed is an OSError, as clients expect."""

import asyncio
import socket

import pytest

from services.observe.loop import new_loop
from tests.support.wait import until_async


async def _written_to_after_its_end() -> None:
    here, there = socket.socketpair()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.create_connection(lambda: protocol, sock=here)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(b"heard")
    assert await loop.run_in_executor(None, there.recv, 5) == b"heard"
    assert writer.get_extra_info("socket") is not None, "all else is the transport's own"
    there.close()

    async def gone() -> bool:
        writer.write(b"into the void")  # the first ones may still be taken
        return False

    await until_async(gone, "it is told")


def test_a_stream_that_is_gone_says_so_in_the_words_of_an_operating_system() -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(OSError, match="closed"):
        runner.run(_written_to_after_its_end())


def test_what_is_no_stream_has_the_transport_of_the_loop() -> None:
    async def connected() -> str:
        here, there = socket.socketpair()
        with there:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
            transport.close()
            return type(transport).__module__

    with asyncio.Runner(loop_factory=new_loop) as runner:
        module = runner.run(connected())
    assert module.partition(".")[0] in ("uvloop", "asyncio")
