"""The load: requests that were encoded beforehand, over bare connections that are kept, in a process of its own.

A connection sends its requests in turn, each when the one before is answered. Run as `python -m tests.bench.load`; it
reads a Load as JSON from standard input and writes a Served to standard output.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

END_OF_HEAD = b"\r\n\r\n"


class Load(msgspec.Struct, kw_only=True):
    """Where to send, what (a file with a JSON list of requests in base64), over how many connections, how long."""

    port: int
    file: str
    connections: int
    warm_s: float
    measure_s: float


class Served(msgspec.Struct, kw_only=True):
    """Requests answered with 202 within the measured time, the rest of the answers, and the time."""

    accepted: int
    other: int
    seconds: float


class _Run:
    """What all connections share: the clock and the counts."""

    def __init__(self, load: Load) -> None:
        self.begins = time.perf_counter() + load.warm_s
        self.ends = self.begins + load.measure_s
        self.served = Served(accepted=0, other=0, seconds=load.measure_s)

    def count(self, answer: bytes) -> bool:
        """Count an answer if it came within the measured time; tell whether to go on."""
        now = time.perf_counter()
        if self.begins <= now < self.ends:
            if answer.startswith(b"HTTP/1.1 202"):
                self.served.accepted += 1
            else:
                self.served.other += 1
        return now < self.ends


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run, requests: list[bytes], first: int) -> None:
        self._run = run
        self._requests = requests
        self._next = first
        self._answer = b""
        self._missing = -1
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._send()

    def _send(self) -> None:
        self._answer, self._missing = b"", -1
        self._next = (self._next + 1) % len(self._requests)
        self._transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._answer += data
            at = self._answer.find(END_OF_HEAD)
            if at < 0:
                return
            head = self._answer[:at].lower()
            _, _, length = head.partition(b"content-length:")
            self._missing = at + len(END_OF_HEAD) + int(length.split(b"\r\n")[0] or 0) - len(self._answer)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            if self._run.count(self._answer):
                self._send()
            else:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run(load: Load, requests: list[bytes]) -> Served:
    """Send for as long as the load says."""
    shared = _Run(load)
    loop = asyncio.get_running_loop()
    step = max(1, len(requests) // load.connections)
    made = [
        await loop.create_connection(lambda at=at: _Connection(shared, requests, at * step), "127.0.0.1", load.port)  # type: ignore[misc]
        for at in range(load.connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    return shared.served


def main() -> None:
    """Read what to do, do it, write what came of it."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    served = uvloop.run(run(load, msgspec.json.decode(Path(load.file).read_bytes(), type=list[bytes])))
    sys.stdout.buffer.write(msgspec.json.encode(served))


if __name__ == "__main__":
    main()
