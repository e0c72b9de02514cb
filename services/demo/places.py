"""Where the embedded servers and the demo keep their files: the clone, and one cache folder for downloads."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def state_folder() -> Path:
    """Return the demo's folder inside the clone: servers' data, logs, keys. Git ignores it; `make clean` removes it."""
    return ROOT / ".platetrail"


def cache_folder() -> Path:
    """Return the only folder outside the clone: downloads (pip's wheels, Kafka's jars), under the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "platetrail"
