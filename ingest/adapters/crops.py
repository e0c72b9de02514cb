"""Pictures of plates in a folder, which the gateways and the maintain service share.

A file lies at `<owner>/<first two digits>/<SHA-256>`; until its read was taken its name ends in `.new`. Its time of
modification is the capture of the last read that it belongs to: what is older than its owner keeps reads is removed.
Files are made 0600, written and flushed beside their place, and moved there, so that a name always has its content.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from ingest.errors import Misconfigured, Unavailable
from ingest.ports import NewCrop, Removed

THREADS: Final = 4
"""How many requests' pictures are written at one time; others wait for their turn."""

UNCONFIRMED: Final = timedelta(hours=1)
"""How long a picture waits for its read to be taken. Longer than any request, so none is removed under way."""

_OWNER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME: Final = re.compile(r"([0-9a-f]{64})(\.new|\.[0-9a-f]{16}\.tmp)?")
_NEW: Final = ".new"

Result = TypeVar("Result")


class CropFolder:
    """`ports.Crops`."""

    def __init__(self, folder: Path) -> None:
        """Know the folder. Raises Misconfigured if it is none that this process can write to."""
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise Misconfigured("the folder for pictures of plates is none, or can't be written to")
        self._folder = folder
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="crops")

    async def keep(self, crops: Sequence[NewCrop]) -> None:
        """See `ports.Crops.keep`."""
        await self._run(lambda: self._keep(crops))

    async def confirm(self, crops: Sequence[NewCrop]) -> None:
        """See `ports.Crops.confirm`."""
        await self._run(lambda: self._confirm(crops))

    async def get(self, owner: str, sha256: str) -> bytes | None:
        """See `ports.Crops.get`."""
        return await self._run(lambda: self._get(owner, sha256))

    async def remove_expired(self, now: datetime, days: Callable[[str], int]) -> Removed:
        """See `ports.Crops.remove_expired`."""
        return await self._run(lambda: self._remove_expired(now, days))

    async def _run(self, doing: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, doing)
        except OSError as error:  # its text names a file
            raise Unavailable(f"the folder for pictures of plates: {type(error).__name__}") from None

    def _keep(self, crops: Sequence[NewCrop]) -> None:
        touched = set()
        for crop in crops:
            place = self._place(crop.owner, crop.sha256)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            touched |= {place.parent, place.parent.parent, self._folder}
            if not _lengthened(place, crop.captured_at):
                _written(place, crop)
        for folder in touched:
            _flush(folder)

    def _confirm(self, crops: Sequence[NewCrop]) -> None:
        for crop in crops:
            place = self._place(crop.owner, crop.sha256)
            try:
                place.with_name(place.name + _NEW).rename(place)
            except FileNotFoundError:
                if not place.exists():  # else somebody pushed the same at this moment
                    raise
        for folder in {self._place(crop.owner, crop.sha256).parent for crop in crops}:
            _flush(folder)

    def _get(self, owner: str, sha256: str) -> bytes | None:
        place = self._place(owner, sha256)
        for name in (place.name, place.name + _NEW):
            try:
                picture = place.with_name(name).read_bytes()
            except FileNotFoundError:
                continue
            return picture if hashlib.sha256(picture).hexdigest() == sha256 else None
        return None

    def _remove_expired(self, now: datetime, days: Callable[[str], int]) -> Removed:
        expired = unconfirmed = 0
        for owner in _folders(self._folder):
            if not _OWNER.fullmatch(owner.name):
                continue
            before_s = (now - timedelta(days=days(owner.name))).timestamp()
            for file, is_new in _files(owner):
                with contextlib.suppress(FileNotFoundError):  # it was confirmed, or removed, at this moment
                    status = file.stat(follow_symlinks=False)
                    if status.st_mtime <= before_s:
                        file.unlink()
                        expired += 1
                    elif is_new and status.st_ctime <= (now - UNCONFIRMED).timestamp():
                        file.unlink()
                        unconfirmed += 1
        return Removed(expired=expired, unconfirmed=unconfirmed)

    def _place(self, owner: str, sha256: str) -> Path:
        if not _OWNER.fullmatch(owner) or len(sha256) != 64 or not _NAME.fullmatch(sha256):
            raise FileNotFoundError
        return self._folder / owner / sha256[:2] / sha256


def _lengthened(place: Path, captured_at: datetime) -> bool:
    """Tell whether a picture is there for good; if so, it is kept as long as this read."""
    try:
        kept_ns = place.stat().st_mtime_ns
        if _ns(captured_at) > kept_ns:
            os.utime(place, ns=(_ns(captured_at), _ns(captured_at)))
    except FileNotFoundError:
        return False
    return True


def _written(place: Path, crop: NewCrop) -> None:
    unfinished = place.with_name(f"{place.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(crop.picture)
            file.flush()
            os.utime(handle, ns=(_ns(crop.captured_at), _ns(crop.captured_at)))
            os.fsync(handle)
        unfinished.rename(place.with_name(place.name + _NEW))
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _flush(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folders(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        yield from (Path(one.path) for one in found if one.is_dir(follow_symlinks=False))


def _files(owner: Path) -> Iterator[tuple[Path, bool]]:
    """Yield an owner's pictures, and whether each is unconfirmed. What is not ours is left alone."""
    for shard in _folders(owner):
        with os.scandir(shard) as found:
            names = [one.name for one in found if one.is_file(follow_symlinks=False)]
        for name in names:
            ours = _NAME.fullmatch(name)
            if ours is not None:
                yield shard / name, ours[2] is not None


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
