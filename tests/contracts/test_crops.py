"""What a keeper of pictures of plates is, in memory and in a folder."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from ingest.adapters.crops import THREADS, CropFolder
from ingest.adapters.memory import InMemory, MemoryCrops
from ingest.errors import Misconfigured, Unavailable
from ingest.ports import Crops, NewCrop, Removed

HOUR = timedelta(hours=1)


class Subject(NamedTuple):
    """A keeper of pictures, and how to make it fail."""

    crops: Crops
    break_it: Callable[[], None]


@pytest.fixture(params=["memory", "folder"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "memory":
        with pytest.warns(InMemory):
            memory = MemoryCrops()
        yield Subject(memory, lambda: setattr(memory, "available", False))
        return
    folder = tmp_path / "crops"
    folder.mkdir()

    def break_it() -> None:
        """Put a file where the folder of the owner would be: that stops a superuser too."""
        (folder / "north").write_text("")

    yield Subject(CropFolder(folder), break_it)


def crop(content: bytes = b"plate", *, owner: str = "north", age: timedelta = HOUR) -> NewCrop:
    at = datetime.now(UTC) - age
    return NewCrop(owner=owner, captured_at=at, sha256=hashlib.sha256(content).hexdigest(), picture=content)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def days(owner: str) -> int:
    return {"north": 3, "south": 30}[owner]


async def test_what_was_kept_and_confirmed_is_there(subject: Subject) -> None:
    one, other = crop(), crop(b"another")
    await subject.crops.keep([one, other])
    await subject.crops.confirm([one])
    for known in (one, other):
        assert await subject.crops.get("north", known.sha256) == known.picture, "a read that names one never waits"
    assert await subject.crops.get("south", one.sha256) is None
    assert await subject.crops.get("north", "0" * 64) is None


async def test_the_same_again_is_one_picture(subject: Subject) -> None:
    one = crop()
    for _ in range(3):
        await subject.crops.keep([one, one])
        await subject.crops.confirm([one, one])
    later = datetime.now(UTC) + timedelta(days=3)
    assert await subject.crops.remove_expired(later, days) == Removed(expired=1)
    assert await subject.crops.get("north", one.sha256) is None


async def test_a_picture_goes_when_its_read_expires_by_its_owners_days(subject: Subject) -> None:
    now = datetime.now(UTC)
    strict, lenient = crop(age=timedelta()), crop(owner="south", age=timedelta())
    await subject.crops.keep([strict, lenient])
    await subject.crops.confirm([strict, lenient])
    assert await subject.crops.remove_expired(now + timedelta(days=3, seconds=-10), days) == Removed()
    assert await subject.crops.remove_expired(now + timedelta(days=3, seconds=10), days) == Removed(expired=1)
    assert await subject.crops.get("north", strict.sha256) is None
    assert await subject.crops.get("south", lenient.sha256) == lenient.picture
    assert await subject.crops.remove_expired(now + timedelta(days=3), lambda _: 1) == Removed(expired=1), "purged"


async def test_a_picture_of_two_reads_goes_with_the_later_one(subject: Subject) -> None:
    late, early = crop(age=timedelta()), crop(age=timedelta(days=2))
    for one in (early, late, early):
        await subject.crops.keep([one])
        await subject.crops.confirm([one])
    now = datetime.now(UTC)
    assert await subject.crops.remove_expired(now + timedelta(days=2), days) == Removed()
    assert await subject.crops.remove_expired(now + timedelta(days=3), days) == Removed(expired=1)


async def test_a_picture_whose_read_was_never_taken_goes_after_an_hour(subject: Subject) -> None:
    taken, left = crop(), crop(b"left")
    await subject.crops.keep([taken, left])
    await subject.crops.confirm([taken])
    now = datetime.now(UTC)
    assert await subject.crops.remove_expired(now + timedelta(minutes=50), days) == Removed()
    assert await subject.crops.remove_expired(now + timedelta(minutes=61), days) == Removed(unconfirmed=1)
    assert await subject.crops.get("north", left.sha256) is None
    assert await subject.crops.get("north", taken.sha256) == taken.picture


async def test_a_picture_that_was_there_stays_when_the_second_push_of_it_fails(subject: Subject) -> None:
    one = crop()
    await subject.crops.keep([one])
    await subject.crops.confirm([one])
    await subject.crops.keep([one])  # and no more
    assert await subject.crops.remove_expired(datetime.now(UTC) + timedelta(hours=2), days) == Removed()


async def test_two_at_once_push_the_same(subject: Subject) -> None:
    one = crop()
    await subject.crops.keep([one])
    await subject.crops.keep([one])
    await subject.crops.confirm([one])
    await subject.crops.confirm([one])
    assert await subject.crops.get("north", one.sha256) == one.picture


async def test_what_cannot_be_stored_is_an_outage(subject: Subject) -> None:
    subject.break_it()
    with pytest.raises(Unavailable) as refused:
        await subject.crops.keep([crop()])
    assert "north" not in str(refused.value)
    with pytest.raises(Unavailable):
        await subject.crops.confirm([crop()])


async def test_files_are_their_owners_alone_and_hold_what_their_names_say(tmp_path: Path) -> None:
    folder, one = CropFolder(tmp_path), crop()
    before = os.umask(0)
    try:
        await folder.keep([one])
    finally:
        os.umask(before)
    [file] = files(tmp_path)
    assert file.relative_to(tmp_path).as_posix() == f"north/{one.sha256[:2]}/{one.sha256}.new"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o077) == (0o600, 0)
    assert file.stat().st_mtime == pytest.approx(one.captured_at.timestamp(), abs=0.001)
    await folder.confirm([one])
    assert [path.name for path in file.parent.iterdir()] == [one.sha256]
    (file.parent / one.sha256).write_bytes(b"swapped")
    assert await folder.get("north", one.sha256) is None


@pytest.mark.parametrize("owner", ["..", ".", "", "a/b", "/etc", "A", "a" * 64, "~", "a\0b", "north\n"])
async def test_an_owners_name_leads_nowhere_else(tmp_path: Path, owner: str) -> None:
    (tmp_path / "crops").mkdir()
    folder = CropFolder(tmp_path / "crops")
    with pytest.raises(Unavailable):
        await folder.keep([crop(owner=owner)])
    with pytest.raises(Unavailable):
        await folder.get("north", "../../secret")
    assert files(tmp_path) == []


async def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "crops" / "north" / "ab").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "crops" / "south").symlink_to(outside)
    foreign = [
        tmp_path / "crops" / "README",
        tmp_path / "crops" / "north" / "ab" / "notes.txt",
        outside / "a" / ("a" * 64),
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
        os.utime(path, (0, 0))
    left = tmp_path / "crops" / "north" / "ab" / f"{'ab' * 32}.{'0' * 16}.tmp"
    left.write_text("a crash left this")
    os.utime(left, (0, 0))
    assert await CropFolder(tmp_path / "crops").remove_expired(datetime.now(UTC), days) == Removed(expired=1)
    assert [path.read_text() for path in foreign] == ["kept"] * 3


async def test_no_more_threads_than_stated_write_at_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CropFolder(tmp_path)
    running: list[int] = []
    most: list[int] = []

    def slow(_: object) -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    monkeypatch.setattr(folder, "_keep", slow)
    await asyncio.gather(*(folder.keep([crop()]) for _ in range(20)))
    assert 1 < max(most) <= THREADS


def test_no_folder_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(Misconfigured) as refused:
            CropFolder(path)
        assert str(tmp_path) not in str(refused.value)
