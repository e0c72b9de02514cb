"""The guard of this folder works."""

import socket

import pytest


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_network_socket_is_refused(family: socket.AddressFamily) -> None:
    with pytest.raises(RuntimeError, match="no sockets"):
        socket.socket(family)


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match="no names"):
        socket.getaddrinfo("localhost", 80)


def test_a_pair_inside_the_process_is_allowed() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
