"""The samples of all vendors in the form they come in: real ones, and ones built by hand from their field lists."""

import functools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ingest import envelopes
from ingest.gateway import WEBHOOKS

FOLDER: Final = Path(__file__).parents[1] / "samples"
NAMES: Final = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*"))
"""`<format>/<file>`: the folder is the format's name."""


def body(name: str) -> bytes:
    """Return a sample's bytes."""
    return (FOLDER / name).read_bytes()


def content_type(name: str) -> str:
    """Return the Content-Type that a sample comes with."""
    kind = name.rpartition(".")[2]
    if kind == "multipart":
        return f"multipart/form-data; boundary={body(name).splitlines()[0][2:].decode()}"
    return f"application/{kind}"


def path_of(name: str) -> str:
    """Return the path where cameras push a sample's format."""
    return next(path for path, of in WEBHOOKS.items() if of == name.partition("/")[0])


def payload(name: str) -> Any:
    """Return a sample's one message, decoded."""
    return message(name, body(name))


def message(name: str, data: bytes) -> Any:
    """Return the one message in some bytes that are declared as a sample is."""
    [found] = envelopes.messages(data, content_type(name))
    return found


def moved(name: str, by: timedelta) -> bytes:
    """Return a sample's bytes with all its times moved by one amount, a whole number of seconds."""
    seconds = int(by.total_seconds())
    assert by == timedelta(seconds=seconds)
    data = body(name)
    for pattern, per_second in _COUNTED:
        data = pattern.sub(functools.partial(_counted, seconds * per_second), data)
    data = _WRITTEN.sub(lambda found: found[1] + _written(found[2].decode(), by).encode(), data)
    return _IN_TWO_FIELDS.sub(lambda found: _in_two_fields(found, by), data)


_COUNTED: Final = (
    (re.compile(rb'("(?:epoch_start|epoch_end|epoch_time|best_uuid_epoch_ms)": *)([0-9]+)'), 1000),
    (re.compile(rb'("capture_ts": *")([0-9]+)'), 1_000_000_000),
    (re.compile(rb'("(?:UTC|RealUTC|created|created_at)": *)([0-9.]+)'), 1),
    (re.compile(rb'("camera": *"[a-z_]*", *"timestamp": *)([0-9.]+)'), 1),
)
_WRITTEN: Final = re.compile(
    rb'((?:"(?:timestamp|timestamp_local|dateObserved|dateReceived|AccurateTime|SnapTime)": *"|<dateTime>))'
    rb"([0-9]{4}-[0-9-]+[ T][0-9:.]+(?:Z|[+-][0-9:]+)?)"
)
_IN_TWO_FIELDS: Final = re.compile(rb'"DateUtc": *"([^"]*)",\s*"TimeUtc": *"([^"]*)"')


def _counted(by: int, found: re.Match[bytes]) -> bytes:
    return found[1] + _later(found[2], by)


def _later(number: bytes, by: int) -> bytes:
    whole, point, rest = number.partition(b".")
    return str(int(whole) + by).encode() + point + rest


def _written(text: str, by: timedelta) -> str:
    return (datetime.fromisoformat(text) + by).isoformat()


def _in_two_fields(found: re.Match[bytes], by: timedelta) -> bytes:
    try:
        day = datetime.strptime(found[1].decode(), "%d/%m/%Y").replace(tzinfo=UTC)
    except ValueError:
        return found[0]  # the sample whose date is none
    at = datetime.fromisoformat(f"{day.date()}T{found[2].decode()}+00:00") + by
    return f'"DateUtc": "{at:%d/%m/%Y}", "TimeUtc": "{at.time().isoformat()}"'.encode()
