"""The door for changes: decide, change and record in one transaction, the entry last. So far, of cameras.

A change and its entry stand or fall together: there is no camera that nobody is known to have added, and no entry of
one that does not exist.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from schemas import keys
from schemas.queries import Asker, Role
from search import cameras
from search.audit.lookups import Lookups
from search.audit.receipts import receipt_of
from search.cameras import CameraList, Registered, Retired
from search.errors import Forbidden, NotFound
from search.ports import Cameras

OPERATOR: Role = "camera_operator"


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
    ) -> None:
        """Use this registry and these look-ups, clock and maker of camera keys."""
        self._registry = registry
        self._lookups = lookups
        self._now = now
        self._new_key = new_key

    async def add_camera(self, asker: Asker, body: bytes) -> Registered:
        """Register a camera of the asker's agency and return it with its key, which nobody can show again.

        Raises Forbidden without the role or for another agency, Invalid and TooLarge for the body, Conflict if the id
        is taken (by whomever), Unavailable if nothing was changed or nobody knows whether it was.
        """
        _decide(asker)
        new = cameras.decode(body)
        if new.owner not in (None, asker.agency):
            raise Forbidden("A camera is registered by its own agency.")
        at, key = self._now(), self._new_key()
        camera = cameras.build(new, asker.agency, key, at)
        appended = await self._registry.add(camera, cameras.entry("add", camera, asker, at, self._lookups))
        return Registered(camera=cameras.view(camera), key=key.key, receipt=receipt_of(appended))

    async def list_cameras(self, asker: Asker) -> CameraList:
        """Return the cameras of the asker's agency, retired ones too. Raises Forbidden, Unavailable."""
        _decide(asker)
        owned = await self._registry.of_owner(asker.agency)
        return CameraList(cameras=tuple(map(cameras.view, owned)))

    async def retire_camera(self, asker: Asker, camera_id: str) -> Retired:
        """Retire a camera of the asker's agency: its key is refused from then on. Doing it again changes nothing.

        Raises Forbidden without the role, NotFound for an id that is unknown or another agency's, Conflict if somebody
        else changed it at this moment, Unavailable.
        """
        _decide(asker)
        camera = await self._registry.find(camera_id, asker.agency) if cameras.is_id(camera_id) else None
        if camera is None:
            raise NotFound("Your agency has no camera of this id.")
        if not camera.active:
            return Retired(camera=cameras.view(camera))
        after = cameras.retired(camera)
        entry = cameras.entry("retire", after, asker, self._now(), self._lookups)
        return Retired(camera=cameras.view(after), receipt=receipt_of(await self._registry.replace(after, entry)))


def _decide(asker: Asker) -> None:
    """Raise Forbidden unless the asker may keep cameras. Whose is the agency's in the token."""
    if OPERATOR not in asker.roles:
        raise Forbidden(f"This needs the role {OPERATOR}.")
