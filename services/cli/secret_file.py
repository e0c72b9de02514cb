"""A file for a secret that is given out once: made before anybody is asked for the secret, for it would be lost."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from services.cli.failures import USAGE, Failure

Write = Callable[[str], None]
"""Takes the secret, once. Raises Failure if it cannot be written after all."""


@contextmanager
def claimed(path: Path | None, what: str, *, replace: bool = False) -> Iterator[Write]:
    """Make sure that a secret can be written to a file (0600), and yield what writes it; without a path it is shown.

    A file that exists is refused, or kept until it is replaced. If nothing is written, all is as it was. `what` names
    the file in errors. Raises Failure.
    """
    if path is None:
        yield lambda secret: typer.echo(secret, nl=False)
        return
    made = _made(path, what, replace=replace)

    written = False

    def write(secret: str) -> None:
        nonlocal written
        try:
            made.write_text(secret, encoding="utf-8")
            if made != path:
                made.replace(path)
        except OSError as error:
            says = f"{what} could not be written ({type(error).__name__}): what was to stand in it is lost"
            raise Failure(says, USAGE) from None
        written = True

    try:
        yield write
    finally:
        if not written:
            made.unlink(missing_ok=True)


def _made(path: Path, what: str, *, replace: bool) -> Path:
    """Return a new, empty file: the one that was asked for, or one beside it that is to take its place."""
    try:
        if not (replace and path.exists()):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return path
        if path.is_file():
            descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
            os.close(descriptor)
            return Path(name)
    except FileExistsError:
        raise Failure(f"{what} exists already, and is never overwritten", USAGE) from None
    except OSError as error:
        raise Failure(f"{what} cannot be written ({type(error).__name__})", USAGE) from None
    raise Failure(f"{what} cannot be written: it is no file", USAGE)
