"""The jars of Apache Kafka, fetched once into the cache folder by jgo, each held to the hash that is on record here.

Run as a module, `python -m services.demo.jars`, it fetches them. A process of its own, because jgo asks whatever Java
it finds on PATH about each jar: here it finds none, so a newcomer's Java, or its absence, changes nothing.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.demo.places import DEPLOY, cache_folder
from services.demo.process import ChildError

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
# Resolved by itself: joined with Kafka its bill of materials pulls kafka-clients back and the broker dies.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
LOCK = DEPLOY / "kafka" / "jars.sha256"


def jars() -> list[Path]:
    """Return the broker's jars, fetching what is missing (44 MB the first time, some seconds).

    Raises ChildError if they cannot be fetched, or are not those whose hashes `deploy/kafka/jars.sha256` lists.
    """
    folder = cache_folder() / "kafka"
    with _lock():
        if _wrong(folder):
            _fetch()
            wrong = _wrong(folder)
            if wrong:
                raise ChildError(f"{len(wrong)} of Kafka's jars are missing or not those of {LOCK}: {sorted(wrong)}")
    return sorted(folder / name for name in _wanted())


def _wanted() -> dict[str, str]:
    """Return each jar's name with its SHA-256."""
    return {name: digest for digest, name in map(str.split, LOCK.read_text().splitlines())}


def _wrong(folder: Path) -> set[str]:
    """Return the names of the jars that are missing or altered."""
    return {name for name, digest in _wanted().items() if _sha256(folder / name) != digest}


def _sha256(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()


def _fetch() -> None:
    """Run this module in a process without a Java to find; what jgo kept for itself is removed afterwards."""
    environment = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "JDK_HOME")}
    # Finding none, jgo would fetch a whole JDK, from elsewhere and into another cache: it is shown an index that is not
    # there, and does without.
    environment |= {
        "PATH": "/nonexistent",
        "CJDK_INDEX_URL": "https://127.0.0.1:9/",
        "CJDK_CACHE_DIR": str(cache_folder() / "cjdk"),
    }
    command = [sys.executable, "-m", "services.demo.jars"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for name in ("m2", "jgo", "cjdk"):  # after a failure too: half a download must not be found again
        shutil.rmtree(cache_folder() / name, ignore_errors=True)
    if done.returncode != 0:
        reason = "\n".join(done.stderr.splitlines()[-5:])
        raise ChildError(f"Apache Kafka could not be fetched: is the Maven repository reachable?\n{reason}")


def _resolve() -> Iterator[Path]:
    """Yield Kafka's jars and the one that connects its logging, as jgo resolved and stored them."""
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    for endpoint in (KAFKA, LOGGING):
        maven = MavenContext(repo_cache=cache_folder() / "m2")
        builder = EnvironmentBuilder(maven, cache_dir=cache_folder() / "jgo", link_strategy=LinkStrategy.AUTO)
        for jar in map(Path, builder.from_endpoint(endpoint).all_jars):
            if endpoint == KAFKA or "log4j-slf4j-impl" in jar.name:
                yield jar


def main() -> None:
    """Fetch the jars and lay them side by side."""
    folder = cache_folder() / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    for jar in _resolve():
        shutil.copyfile(jar, folder / jar.name)


@contextmanager
def _lock() -> Iterator[None]:
    """Hold the cache folder: two processes that fetch at once would trip over each other's files."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
