"""The camera registry in PostgreSQL: each change is one transaction, and its audit entry comes last in it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import insert as plain_insert
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from schemas import health, topics, wire
from schemas.cameras import Camera
from schemas.entries import Entry
from schemas.health import REPORTERS, CameraState
from schemas.tables import CAMERA, CAMERA_HEALTH, OUTBOX
from search.adapters import sql
from search.audit.adapters.postgres import append_within
from search.audit.errors import LogError
from search.audit.ports import Appended
from search.audit.secrets import Sealer
from search.errors import Conflict, SearchError, Unavailable

CONNECTIONS: Final = 2
UNIQUE_VIOLATION: Final = "23505"
CONNECT_TIMEOUT_S: Final = 1.5
COMMAND_TIMEOUT_S: Final = 2.0
CLIENT_TIMEOUT_S: Final = 2.8
SERVER_SETTINGS: Final = {
    "application_name": "platetrail-search-act",
    "statement_timeout": "1500",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "5000",
    "default_transaction_isolation": "read committed",  # as appending needs it
}

_COLUMNS: Final = Camera.__struct_fields__
_OF_CAMERA: Final = select(*(CAMERA.c[name] for name in _COLUMNS))


class PostgresCameras:
    """The registry (see `search.ports.Cameras`), on connections of its own."""

    def __init__(self, url: str, sealer: Sealer) -> None:
        """Know where the database is, and how to seal the private part of entries; nothing is opened yet."""
        self._sealer = sealer
        self._engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=CLIENT_TIMEOUT_S,
            hide_parameters=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                # Bounds the rollback, too, which would otherwise wait for a server that does not answer.
                "command_timeout": COMMAND_TIMEOUT_S,
                "server_settings": SERVER_SETTINGS,
            },
        )

    async def stop(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def add(self, camera: Camera, entry: Entry) -> Appended:
        """Register a camera."""
        values = msgspec.structs.asdict(camera)
        # A second one of the same id waits here for the first to commit, and then finds it.
        statement = insert(CAMERA).values(values).on_conflict_do_nothing()
        async with self._transaction() as connection:
            if (await connection.execute(statement.returning(CAMERA.c.camera_id))).first() is None:
                raise Conflict("This camera id, its certificate or its device_id is taken. Choose another.")
            return await self._publish_and_record(connection, camera, entry)

    async def add_all(self, cameras: Sequence[Camera], entries: Sequence[Entry]) -> list[Appended]:
        """Register cameras, all or none."""
        rows = msgspec.json.encode(cameras).decode()
        ids, records = [camera.camera_id.encode() for camera in cameras], [wire.encode(camera) for camera in cameras]
        async with self._transaction() as connection:
            # Through SQLAlchemy, which begins the transaction with the first statement that it sees.
            added = await connection.exec_driver_sql(sql.ADD_CAMERAS, (rows,))
            if len(added.all()) != len(cameras):
                raise Conflict("An id, a certificate or a device_id is taken. Look at it again.", retry_after_s=1)
            await connection.exec_driver_sql(sql.TELL_CAMERAS, (topics.CAMERAS, ids, records))
            raw = await connection.get_raw_connection()
            return await append_within(raw.driver_connection, self._sealer, entries)

    async def taken(self, camera_ids: Sequence[str], certificates: Sequence[str]) -> frozenset[str]:
        """Return those of these ids and fingerprints that are given out."""
        async with self._transaction() as connection:
            rows = await connection.exec_driver_sql(sql.TAKEN_CAMERAS, (list(camera_ids), list(certificates)))
            return frozenset(value for row in rows for value in row) & {*camera_ids, *certificates}

    async def replace(self, camera: Camera, entry: Entry) -> Appended:
        """Put a camera's next revision in place of the one before."""
        values = msgspec.structs.asdict(camera)
        statement = (
            update(CAMERA)
            .where(CAMERA.c.camera_id == camera.camera_id)
            .where(CAMERA.c.owner == camera.owner)
            .where(CAMERA.c.revision == camera.revision - 1)
            .values({name: values[name] for name in values if name not in ("camera_id", "owner")})
        )
        async with self._transaction() as connection:
            if (await connection.execute(statement.returning(CAMERA.c.camera_id))).first() is None:
                raise Conflict("Somebody else changed this camera at the same time. Look at it again.", retry_after_s=1)
            return await self._publish_and_record(connection, camera, entry)

    async def find(self, camera_id: str, owner: str) -> Camera | None:
        """Return an owner's camera."""
        statement = _OF_CAMERA.where(CAMERA.c.camera_id == camera_id).where(CAMERA.c.owner == owner)
        async with self._transaction() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else _camera(row)

    async def of_owner(self, owner: str) -> list[Camera]:
        """Return an owner's cameras by id."""
        statement = _OF_CAMERA.where(CAMERA.c.owner == owner).order_by(CAMERA.c.camera_id)
        async with self._transaction() as connection:
            rows = (await connection.execute(statement)).all()
        return [_camera(row) for row in rows]

    async def states(self, owner: str) -> dict[str, CameraState]:
        """Return what is known of how an owner's cameras do, and of those who report on cameras."""
        known = select(CAMERA_HEALTH.c.camera_id, CAMERA_HEALTH.c.state)
        owned = select(CAMERA.c.camera_id).where(CAMERA.c.owner == owner)
        statement = known.where(CAMERA_HEALTH.c.camera_id.in_(owned) | (CAMERA_HEALTH.c.camera_id == REPORTERS))
        async with self._transaction() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.camera_id: health.decode(row.state) for row in rows}

    async def _publish_and_record(self, connection: AsyncConnection, camera: Camera, entry: Entry) -> Appended:
        """Leave the record for the stream, and then the entry: it locks the log's head until the commit."""
        record = {"topic": topics.CAMERAS, "key": camera.camera_id.encode(), "value": wire.encode(camera)}
        # Inline: search may write the outbox and not read it, so nothing comes back.
        await connection.execute(plain_insert(OUTBOX).values(record).inline())
        raw = await connection.get_raw_connection()
        (appended,) = await append_within(raw.driver_connection, self._sealer, [entry])
        return appended

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at the end. Raises Unavailable for whatever the database does not do."""
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S), self._engine.begin() as connection:
                yield connection
        except SearchError:
            raise
        except LogError as error:
            _tell(error, error.code)
            raise Unavailable from None
        except Exception as error:  # noqa: BLE001 - asyncpg.InternalClientError is a plain Exception
            sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
            if sqlstate == UNIQUE_VIOLATION:
                raise Conflict("Another camera proves itself by this certificate, or has this device_id.") from None
            _tell(error, sqlstate)
            raise Unavailable from None


def _camera(row: Any) -> Camera:
    return Camera(**dict(zip(_COLUMNS, row, strict=True)))


def _tell(error: Exception, sqlstate: str | None) -> None:
    """Log what happened by the error's type and SQLSTATE alone: its text quotes values."""
    structlog.get_logger().warning("registry not changed", error=type(error).__name__, sqlstate=sqlstate)
