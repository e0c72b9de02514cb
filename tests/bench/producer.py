"""The yardstick: the gateway's own producer alone, `send()` record by record, 100 acknowledgements awaited together.

Run as `python -m tests.bench.producer`; it reads a Load as JSON from standard input and writes a Sent.
"""

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics

TOGETHER = 100


class Load(msgspec.Struct, kw_only=True):
    """The broker, the records (a file with a JSON list of key and value in base64), and how long."""

    bootstrap: str
    file: str
    warm_s: float
    measure_s: float


class Sent(msgspec.Struct, kw_only=True):
    """Records acknowledged, and the time that they took."""

    records: int
    seconds: float


async def run(load: Load, records: list[tuple[bytes, bytes]]) -> Sent:
    """Send for as long as the load says."""
    async with KafkaPublisher(load.bootstrap, timeout_s=30) as publisher:
        producer = publisher._producer
        assert producer is not None
        await _send(producer, records, load.warm_s)
        return await _send(producer, records, load.measure_s)


async def _send(producer: object, records: list[tuple[bytes, bytes]], seconds: float) -> Sent:
    begun = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < begun + seconds:
        at = sent % len(records)
        some = records[at : at + TOGETHER]
        waiting = [await producer.send(topics.DETECTIONS, value, key=key) for key, value in some]  # type: ignore[attr-defined]
        await asyncio.gather(*waiting)
        sent += len(some)
    return Sent(records=sent, seconds=now - begun)


def main() -> None:
    """Read what to do, do it, write what came of it."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sent = uvloop.run(run(load, msgspec.json.decode(Path(load.file).read_bytes(), type=list[tuple[bytes, bytes]])))
    sys.stdout.buffer.write(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
