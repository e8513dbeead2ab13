"""The certificates that the relay's connection trusts.

The server has an authority of its own, as a company's proxy has one.
"""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from terralive_relay.connection.transport import ClockRead, Transport
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.transport_events import Closed, Opened, TransportEvent
from terralive_stub.shared import trust_store
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.machine.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path)


def _wait(connection: ServerConnection) -> None:
    try:
        for _ in connection:
            pass
    except ConnectionClosed:
        return


@contextmanager
def tls_server(authority: Authority) -> Iterator[int]:
    with serve(_wait, "127.0.0.1", 0, ssl=authority.server, compression=None) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.socket.getsockname()[1]
        finally:
            running.shutdown()
            thread.join()


def first_event(port: int, tls: ssl.SSLContext, host: str = "127.0.0.1") -> object:
    events: queue.SimpleQueue[TransportEvent | ClockRead] = queue.SimpleQueue()
    failures: list[Exception] = []
    relay = Transport(
        f"wss://{host}:{port}/relay",
        "eu-west-1",
        lambda: Credentials("AKID", "secret"),
        events.put,
        failures.append,
        token=lambda _: "token",
        tls=tls,
    )
    relay.start()
    try:
        return events.get(timeout=10)
    finally:
        relay.stop()
        assert failures == []


def test_a_bundle_that_the_user_names_is_trusted(authority: Authority) -> None:
    with tls_server(authority) as port:
        tls = trust_store.only(str(authority.bundle), "AWS_CA_BUNDLE")
        assert isinstance(first_event(port, tls), Opened)


def test_the_authorities_of_boto3_are_trusted_beside_those_of_the_system(
    authority: Authority, tmp_path: Path
) -> None:
    with tls_server(authority) as port:
        tls = trust_store.system_and([str(tmp_path / "missing.pem"), str(authority.bundle)])
        assert isinstance(first_event(port, tls), Opened)


def test_the_authorities_of_the_system_are_trusted_beside_those_of_boto3(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL reads the file of the system's authorities from here.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with tls_server(authority) as port:
        assert isinstance(first_event(port, trust_store.system_and([])), Opened)


def test_an_unknown_authority_is_named_with_what_to_set(authority: Authority) -> None:
    with tls_server(authority) as port:
        closed = first_event(port, trust_store.system_and([]))
    assert isinstance(closed, Closed)
    assert closed.reason.startswith(
        "certificate-untrusted: the certificate of 127.0.0.1 is not trusted ("
    )
    assert "set AWS_CA_BUNDLE" in closed.reason
    assert closed.refused_with == 0


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority) -> None:
    with tls_server(authority) as port:
        tls = trust_store.only(str(authority.bundle), "AWS_CA_BUNDLE")
        closed = first_event(port, tls, host="localhost")
    assert isinstance(closed, Closed)
    assert "certificate-untrusted: the certificate of localhost" in closed.reason


def test_a_bundle_that_cannot_be_read_is_named_with_its_setting(tmp_path: Path) -> None:
    for bundle in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        if bundle.name == "empty.pem":
            bundle.write_text("no certificate")
        with pytest.raises(ConfigurationError) as refused:
            trust_store.only(str(bundle), "AWS_CA_BUNDLE")
        assert refused.value.reference == "ca-bundle-unreadable"
        assert str(bundle) in refused.value.message
        assert "AWS_CA_BUNDLE" in refused.value.hint


def test_a_function_trusts_the_bundle_of_its_environment(authority: Authority) -> None:
    with tls_server(authority) as port:
        tls = trust_store.of_function({"AWS_CA_BUNDLE": str(authority.bundle)})
        assert isinstance(first_event(port, tls), Opened)


def test_a_function_whose_bundle_is_gone_with_its_code_trusts_what_lambda_trusts() -> None:
    tls = trust_store.of_function({"AWS_CA_BUNDLE": "/var/task/certificates.pem"})
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
