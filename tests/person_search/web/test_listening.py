"""The address of the page, and who may come."""

import socket

import httpx  # Gradio brings it
import pytest

from person_search.errors import UserError
from person_search.web.listening import address, bind, is_loopback


def test_a_port_that_is_taken_is_refused():
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port} is in use; name another"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("192.0.2.1", 0, "--host 192.0.2.1: "),
        ("no such host", 0, "--host no such host: there is no such address"),
    ],
)
def test_an_address_that_is_none_is_refused(host, port, message):
    with pytest.raises(UserError, match=message):
        bind(host, port)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)],
)
def test_only_loopback_is_this_machine_alone(host, loopback):
    assert is_loopback(host) == loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_the_address_leads_there(host):
    with bind(host, 0) as bound:
        bound.listen()
        url = httpx.URL(address(bound, host))
        socket.create_connection((url.host, url.port), timeout=5).close()
