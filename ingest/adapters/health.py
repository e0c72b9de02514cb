"""What is known of each camera, in PostgreSQL: a row each, folded under a lock, so that no worker undoes another."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from ingest.adapters import sql
from ingest.adapters.outages import connect
from ingest.adapters.postgres import sorted_error
from ingest.errors import IngestError, Misconfigured, Unavailable, Unwritable
from ingest.health import Letter, fold, fold_letter
from ingest.watch import Change
from schemas import health
from schemas.health import CameraState

CONNECT_S: Final = 10.0
STATEMENT_S: Final = 30.0
SETTINGS: Final = {
    "application_name": "platetrail-health",
    "statement_timeout": f"{STATEMENT_S:.0f}s",
    "lock_timeout": "10s",
    "timezone": "UTC",
}


class PostgresStates:
    """`ingest.watch.States` over one connection, made anew when it is lost."""

    def __init__(self, url: str) -> None:
        """Know the database, as the role that keeps camera health; `start` connects."""
        self._url = url
        self._connection: Any = None

    async def start(self) -> None:
        """Connect. Raises Unavailable, or Misconfigured if the database refuses us."""
        await self._guarded(self._connected())

    async def stop(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)

    async def fold(self, changes: Sequence[Change]) -> None:
        """Fold changes, in one transaction. Raises Unwritable if one of them cannot be: then none is."""
        by_camera: defaultdict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_camera[_camera_id(change)].append(change)
        await self._guarded(self._fold(by_camera))

    async def _fold(self, by_camera: dict[str, list[Change]]) -> None:
        connection = await self._connected()
        ids = sorted(by_camera)  # one order for all: whoever waits for a row holds none that the other waits for
        async with connection.transaction():
            await connection.execute(sql.HEALTH_BEGIN, ids)
            rows = await connection.fetch(sql.HEALTH_LOCK, ids)
            states = [_state(row["state"], by_camera[row["camera_id"]]) for row in rows]
            await connection.execute(sql.HEALTH_PUT, [row["camera_id"] for row in rows], states)

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._url, timeout=CONNECT_S, command_timeout=STATEMENT_S + 5, server_settings=SETTINGS
            )
        return self._connection

    async def _guarded(self, doing: Any) -> None:
        """Await something; what fails becomes an error of ours, without the database's text."""
        failure: IngestError
        try:
            await doing
            return
        except asyncpg.PostgresError as error:
            failure = sorted_error(error)
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            is_of_value = isinstance(error, ValueError)  # one that does not fit its column, found on our side
            failure = Unwritable("a row does not fit") if is_of_value else Unavailable("the connection is gone")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            failure = Unavailable("the database does not answer")
        if not isinstance(failure, Unwritable):  # that was undone, and the connection is as good as before
            self._drop_connection()
        raise failure

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _camera_id(change: Change) -> str:
    return (change.letter.camera_id or "") if isinstance(change, Letter) else change.camera_id


def _state(data: bytes, changes: Sequence[Change]) -> bytes:
    """Return a camera's row with changes in it. Raises Unwritable if there is none, Misconfigured if it was none."""
    try:
        state = health.decode(data)
    except msgspec.MsgspecError:
        raise Misconfigured("what is known of a camera is of a later version, or was changed by hand") from None
    try:
        return health.encode(_folded(state, changes))
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError) as error:
        raise Unwritable(f"a change cannot be folded: {type(error).__name__}") from None


def _folded(state: CameraState, changes: Sequence[Change]) -> CameraState:
    for change in changes:
        state = fold_letter(state, change) if isinstance(change, Letter) else fold(state, change)
    return state
