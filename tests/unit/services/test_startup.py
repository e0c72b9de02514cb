"""The cache with which Java starts a broker: made once a release, and done without where it can't be made."""

from pathlib import Path

import pytest

from services.demo import startup
from services.demo.places import cache_folder
from services.demo.process import ChildError


class Training:
    """Makes a file, if it can, and counts how often it was asked to."""

    def __init__(self, *, able: bool) -> None:
        self.able = able
        self.asked = 0

    def __call__(self, made: Path) -> None:
        self.asked += 1
        assert list(made.parent.iterdir()) == []
        if self.able:
            made.write_text("classes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


def kept(cache: Path) -> list[Path]:
    return list(cache.glob("*.aot"))


def test_it_is_made_once_and_used_from_then_on(cache: Path) -> None:
    training = Training(able=True)
    first, second = startup.options(training), startup.options(training)
    [made] = kept(cache)
    assert first == second
    assert f"-XX:AOTCache={made}" in first
    assert training.asked == 1


def test_another_release_has_another_one_and_takes_the_place_of_the_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup.options(Training(able=True))
    former = kept(cache)
    monkeypatch.setattr(startup, "version", lambda _: "99")
    startup.options(Training(able=True))
    assert len(kept(cache)) == 1
    assert kept(cache) != former


def test_a_broker_starts_without_one_that_was_not_made(cache: Path) -> None:
    assert startup.options(Training(able=False)) == ()
    assert sorted(path.name for path in cache.iterdir()) == ["aot.lock"]


@pytest.mark.parametrize("error", [ChildError("no Java"), PermissionError("read only")])
def test_a_broker_starts_without_one_that_could_not_be_made_and_a_warning_says_so(
    cache: Path, error: Exception
) -> None:
    def failing(_: Path) -> None:
        raise error

    with pytest.warns(UserWarning, match=type(error).__name__):
        assert startup.options(failing) == ()
    assert kept(cache) == []
