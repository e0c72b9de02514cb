"""The samples of all vendors in the form they come in: real ones, and ones built by hand from their field lists."""

from pathlib import Path
from typing import Any, Final

from ingest import envelopes

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


def payload(name: str) -> Any:
    """Return a sample's one message, decoded."""
    [message] = envelopes.messages(body(name), content_type(name))
    return message
