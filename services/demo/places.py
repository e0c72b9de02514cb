"""Where the embedded servers and the demo keep their files: the clone, and one cache folder for downloads."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def state_folder() -> Path:
    """Return the demo's folder: servers' data, logs, keys. PLATETRAIL_HOME names another one than `.platetrail/`.

    That one is inside the clone; git ignores it, and `make clean` removes it.
    """
    return Path(os.environ.get("PLATETRAIL_HOME") or ROOT / ".platetrail").resolve()


def cache_folder() -> Path:
    """Return the only folder outside the clone, under the user's cache: downloads, and what Java starts faster with."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "platetrail"
