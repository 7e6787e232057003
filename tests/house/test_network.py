"""The tests themselves stay on the loopback."""

import socket

import pytest

from tests.support.network import OutsideWorldError


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1"])
def test_a_test_that_reaches_out_is_stopped(address: str) -> None:
    with pytest.raises(OutsideWorldError), socket.socket() as outward:
        outward.connect((address, 80))


def test_looking_up_a_name_elsewhere_is_stopped() -> None:
    with pytest.raises(OutsideWorldError):
        socket.getaddrinfo("example.com", 443)


def test_the_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        pass
