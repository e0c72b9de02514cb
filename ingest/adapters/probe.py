"""Whether a database answers, asked over a connection of its own: the one that writes may be busy for seconds."""

import asyncio
import contextlib
import time
from typing import Any, Final

import asyncpg

ANSWER_S: Final = 2.0
FRESH_S: Final = 1.0
"""An answer holds for so long: whoever asks often costs the database no more than whoever asks now and then."""


class DatabaseProbe:
    """Asks a database, as a role that can log in there. Nothing is connected before the first question."""

    def __init__(self, url: str) -> None:
        """Know the database."""
        self._url = url
        self._connection: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._asked = -FRESH_S
        self._answered = False

    async def answers(self) -> bool:
        """Tell whether the database has answered within two seconds, now or a second ago."""
        async with self._one_at_a_time:
            if time.monotonic() - self._asked > FRESH_S:
                self._answered = await self._ask()
                self._asked = time.monotonic()
            return self._answered

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
