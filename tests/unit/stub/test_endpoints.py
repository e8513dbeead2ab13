"""Addresses of WebSocket APIs, as AWS and as emulators tell them."""

from __future__ import annotations

import pytest

from terralive_stub.shared.endpoints import Reachable, reachable, websocket_url


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (
            "wss://a1.execute-api.eu-west-1.amazonaws.com/relay",
            "wss://a1.execute-api.eu-west-1.amazonaws.com/relay",
        ),
        ("ws://127.0.0.1:4566/a1/relay", "ws://127.0.0.1:4566/a1/relay"),
        ("http://a1.execute-api.localhost:4566/relay", "ws://a1.execute-api.localhost:4566/relay"),
        ("https://gateway.example.com/relay?x=1", "wss://gateway.example.com/relay?x=1"),
        (
            "http://localhost:4566/_aws/execute-api/a1/relay",
            "ws://localhost:4566/_aws/execute-api/a1/relay",
        ),
    ],
)
def test_an_address_of_either_kind_is_used_as_a_websocket(told: str, used: str) -> None:
    assert websocket_url(told) == used


@pytest.mark.parametrize("told", ["", "relay", "ftp://host/relay", "wss://", "a1.execute-api:80"])
def test_what_is_no_address_of_a_websocket_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="wss://"):
        websocket_url(told)


def test_a_name_below_localhost_that_the_system_does_not_know_is_this_machine() -> None:
    url = "ws://a1.execute-api.localhost:4566/relay"
    assert reachable(url, lambda _: False) == Reachable(
        "ws://127.0.0.1:4566/relay", "a1.execute-api.localhost:4566", "a1.execute-api.localhost"
    )
    without_port = "https://a1.execute-api.localhost/relay/@connections"
    assert reachable(without_port, lambda _: False) == Reachable(
        "https://127.0.0.1/relay/@connections",
        "a1.execute-api.localhost",
        "a1.execute-api.localhost",
    )


def test_a_name_that_the_system_knows_stays_as_it_is() -> None:
    url = "ws://a1.execute-api.localhost:4566/relay"
    assert reachable(url, lambda _: True) == Reachable(url, "", "a1.execute-api.localhost")


@pytest.mark.parametrize("host", ["gateway.example.com", "localhost", "mylocalhost", "127.0.0.1"])
def test_no_other_name_is_taken_for_this_machine(host: str) -> None:
    url = f"wss://{host}/relay"
    assert reachable(url, lambda _: False) == Reachable(url, "", host)
