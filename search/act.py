"""The door for changes: decide, change and record in one transaction, the entry last. So far, of cameras.

A change and its entry stand or fall together: there is no camera that nobody is known to have added, and no entry of
one that does not exist.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from schemas import keys
from schemas.cameras import Camera, is_id
from schemas.health import REPORTERS, CameraState
from schemas.queries import Asker, Role
from search import camera_changes, camera_csv, cameras, health
from search.audit.lookups import Lookups
from search.audit.receipts import receipt_of
from search.camera_csv import Flawed, RowFlaw
from search.cameras import CameraList, CameraView, Changed, Registered, Retired
from search.errors import Conflict, Forbidden, NotFound
from search.health import HealthList
from search.ports import Cameras

OPERATOR: Role = "camera_operator"

_TAKEN: Final = {
    "camera_id": "This camera id is taken. Choose another, or leave the row out.",
    "certificate_sha256": "Another camera proves itself by this certificate. Each has its own.",
}


def _now() -> datetime:
    return datetime.now(UTC)


class Act:
    """Changes what people are allowed to change, each within its own agency."""

    def __init__(
        self,
        registry: Cameras,
        lookups: Lookups,
        *,
        now: Callable[[], datetime] = _now,
        new_key: Callable[[], keys.NewKey] = keys.new,
        new_token: Callable[[], keys.NewKey] = keys.new_token,
    ) -> None:
        """Use this registry and these look-ups, clock and makers of camera keys and of tokens for paths."""
        self._registry = registry
        self._lookups = lookups
        self._now = now
        self._new_key = new_key
        self._new_token = new_token

    async def add_camera(self, asker: Asker, body: bytes) -> Registered:
        """Register a camera of the asker's agency and return it with its key, which nobody can show again.

        Raises Forbidden without the role or for another agency, Invalid and TooLarge for the body, Conflict if the id
        is taken (by whomever), Unavailable if nothing was changed or nobody knows whether it was.
        """
        _decide(asker)
        new = cameras.decode(body)
        if new.owner not in (None, asker.agency):
            raise Forbidden("A camera is registered by its own agency.")
        at = self._now()
        camera, key = self._make(new, asker.agency, at)
        appended = await self._registry.add(camera, cameras.entry("add", camera, asker, at, self._lookups))
        return Registered(camera=cameras.view(camera), key=key, receipt=receipt_of(appended))

    async def import_cameras(self, asker: Asker, body: bytes, *, check_only: bool = False) -> bytes:
        """Register every camera of a CSV table, in one transaction, an entry each; return their keys as CSV.

        The columns are camera_id, key (shown this once) and entry (the index of the audit entry). With `check_only`
        nothing is registered, and the table has no rows. Raises Forbidden; Flawed with every flaw by row and column,
        and then nothing was registered; Conflict if somebody else registered one of them at this moment; Unavailable.
        """
        _decide(asker)
        rows = camera_csv.read(body)
        await self._insist_on_free(rows)
        at = self._now()
        made = [] if check_only else [self._make(new, asker.agency, at) for _, new in rows]
        entries = [cameras.entry("add", camera, asker, at, self._lookups) for camera, _ in made]
        appended = await self._registry.add_all([camera for camera, _ in made], entries) if made else []
        return camera_csv.table(
            ("camera_id", "key", "entry"),
            (
                {"camera_id": camera.camera_id, "key": key, "entry": told.index}
                for (camera, key), told in zip(made, appended, strict=True)
            ),
        )

    async def show_camera(self, asker: Asker, camera_id: str) -> CameraView:
        """Return a camera of the asker's agency. Raises Forbidden, NotFound, Unavailable."""
        _decide(asker)
        return cameras.view(await self._own(asker, camera_id))

    async def export_cameras(self, asker: Asker) -> bytes:
        """Return the cameras of the asker's agency as CSV, retired ones too. Raises Forbidden, Unavailable."""
        _decide(asker)
        return camera_csv.write(map(cameras.view, await self._registry.of_owner(asker.agency)))

    async def change_camera(self, asker: Asker, camera_id: str, body: bytes) -> Changed:
        """Change a camera of the asker's agency by a JSON merge patch; one that changes nothing leaves no entry.

        Raises Forbidden, NotFound, Invalid and TooLarge for the body, Conflict for a retired camera or if somebody
        else changed it at this moment, Unavailable.
        """
        _decide(asker)
        camera = await self._in_use(asker, camera_id)
        after = camera_changes.changed(camera, body)
        if after is camera:
            return Changed(camera=cameras.view(camera))
        entry = cameras.entry("change", after, asker, self._now(), self._lookups)
        return Changed(camera=cameras.view(after), receipt=receipt_of(await self._registry.replace(after, entry)))

    async def rotate_key(self, asker: Asker, camera_id: str, body: bytes) -> Registered:
        """Give a camera of the asker's agency a new key, or another way to prove itself: the old one ends at once.

        Raises what `change_camera` raises.
        """
        _decide(asker)
        camera = await self._in_use(asker, camera_id)
        after, key = camera_changes.rekeyed(camera, body, self._new_key(), self._new_token())
        entry = cameras.entry("rotate_key", after, asker, self._now(), self._lookups)
        appended = await self._registry.replace(after, entry)
        return Registered(camera=cameras.view(after), key=key, receipt=receipt_of(appended))

    async def list_cameras(self, asker: Asker) -> CameraList:
        """Return the cameras of the asker's agency, retired ones too. Raises Forbidden, Unavailable."""
        _decide(asker)
        owned = await self._registry.of_owner(asker.agency)
        return CameraList(cameras=tuple(map(cameras.view, owned)))

    async def camera_health(self, asker: Asker, *, silent: bool = False) -> HealthList:
        """Return how the cameras of the asker's agency do, or of those that are silent. Raises Forbidden, Unavailable.

        Numbers about its own cameras, and no read: it leaves no entry, as `list_cameras` leaves none.
        """
        _decide(asker)
        owned = await self._registry.of_owner(asker.agency)
        states = await self._registry.states(asker.agency)
        now, nothing = self._now(), CameraState()
        reported_at = states.get(REPORTERS, nothing).last_seen_at
        # Judging thousands takes a moment in which others are served.
        judged = await asyncio.to_thread(
            lambda: [health.view(one, states.get(one.camera_id, nothing), now, reported_at) for one in owned]
        )
        shown = tuple(one for one in judged if one.status == "silent" or not silent)
        return HealthList(at=now, reported_at=reported_at, cameras=shown)

    async def retire_camera(self, asker: Asker, camera_id: str) -> Retired:
        """Retire a camera of the asker's agency: its key is refused from then on. Doing it again changes nothing.

        Raises Forbidden without the role, NotFound for an id that is unknown or another agency's, Conflict if somebody
        else changed it at this moment, Unavailable.
        """
        _decide(asker)
        camera = await self._own(asker, camera_id)
        if not camera.active:
            return Retired(camera=cameras.view(camera))
        after = cameras.retired(camera)
        entry = cameras.entry("retire", after, asker, self._now(), self._lookups)
        return Retired(camera=cameras.view(after), receipt=receipt_of(await self._registry.replace(after, entry)))

    async def _insist_on_free(self, rows: Sequence[tuple[int, cameras.NewCamera]]) -> None:
        """Raise Flawed if somebody has registered an id or certificate of these rows before."""
        shown = [new.certificate_sha256 for _, new in rows if new.certificate_sha256 is not None]
        taken = await self._registry.taken([new.camera_id for _, new in rows], shown)
        flaws = [
            RowFlaw(row=row, column=column, detail=_TAKEN[column])
            for row, new in rows
            for column, value in (("camera_id", new.camera_id), ("certificate_sha256", new.certificate_sha256))
            if value in taken
        ]
        if flaws:
            raise Flawed(flaws, status=409)

    def _make(self, new: cameras.NewCamera, owner: str, at: datetime) -> tuple[Camera, str | None]:
        """Return a new camera and what its operator is shown of its key."""
        key = camera_changes.secret_for(new.proof, self._new_key(), self._new_token())
        return cameras.build(new, owner, key, at), camera_changes.shown(new.proof, key)

    async def _own(self, asker: Asker, camera_id: str) -> Camera:
        camera = await self._registry.find(camera_id, asker.agency) if is_id(camera_id) else None
        if camera is None:
            raise NotFound("Your agency has no camera of this id.")
        return camera

    async def _in_use(self, asker: Asker, camera_id: str) -> Camera:
        camera = await self._own(asker, camera_id)
        if not camera.active:
            raise Conflict("This camera is retired: it stays as it is. Register another one.")
        return camera


def _decide(asker: Asker) -> None:
    """Raise Forbidden unless the asker may keep cameras. Whose is the agency's in the token."""
    if OPERATOR not in asker.roles:
        raise Forbidden(f"This needs the role {OPERATOR}.")
