"""Whether a server answers, asked over a connection of its own: the one that works may be busy for seconds."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from typing import Any, Final

import asyncpg

from ingest.adapters.broker import Broker
from ingest.adapters.topics import partitions_of
from ingest.errors import Misconfigured, Unavailable

ANSWER_S: Final = 2.0
FRESH_S: Final = 1.0
"""An answer holds for so long: whoever asks often costs the server no more than whoever asks now and then."""


class Probe(ABC):
    """Asks a server, one question at a time."""

    def __init__(self) -> None:
        """Know of no answer yet."""
        self._one_at_a_time = asyncio.Lock()
        self._asked = -FRESH_S
        self._answered = False

    async def answers(self) -> bool:
        """Tell whether the server has answered within two seconds, now or a second ago."""
        async with self._one_at_a_time:
            if time.monotonic() - self._asked > FRESH_S:
                self._answered = await self._ask()
                self._asked = time.monotonic()
            return self._answered

    @abstractmethod
    async def _ask(self) -> bool: ...


async def tells(broker: Broker, topic: str) -> None:
    """Return once a broker has told of a topic. Raises Misconfigured, or Unavailable, in two seconds at the latest."""
    try:
        async with asyncio.timeout(ANSWER_S):
            if not await partitions_of(broker, topic):  # it is being made, or deleted
                raise Misconfigured(f"there is no topic {topic}")
    except TimeoutError as error:
        raise broker.unreachable(error) from None
    except OSError as error:  # a file is being replaced
        raise Unavailable(f"the broker's CA file can't be used: {error.strerror or type(error).__name__}") from None


class BrokerProbe(Probe):
    """Asks a broker for a topic, over a connection that is made for each question."""

    def __init__(self, broker: Broker, topic: str) -> None:
        """Know the broker."""
        super().__init__()
        self._broker = broker
        self._topic = topic

    async def _ask(self) -> bool:
        try:
            await tells(self._broker, self._topic)
        except (Misconfigured, Unavailable):
            return False
        return True


class DatabaseProbe(Probe):
    """Asks a database, as a role that can log in there. Nothing is connected before the first question."""

    def __init__(self, url: str) -> None:
        """Know the database."""
        super().__init__()
        self._url = url
        self._connection: Any = None

    async def aclose(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=ANSWER_S)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(self._url, timeout=ANSWER_S)
                await self._connection.execute("select")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
            return False
        return True
