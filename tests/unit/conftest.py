"""Unit tests have no sockets: whoever opens one to a network fails."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

_guard = {"on": False}


class SocketInUnitTest(RuntimeError):
    """A unit test, or code under it, wanted the network."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: it sees every socket of the interpreter, however it is made; it can never be taken out again."""
    if not _guard["on"]:
        return
    if event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
        raise SocketInUnitTest("unit tests have no sockets")
    if event == "socket.getaddrinfo":
        raise SocketInUnitTest("unit tests look up no names")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    _guard["on"] = True
    yield
    _guard["on"] = False
