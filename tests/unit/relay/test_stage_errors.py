"""Errors that end a relay, as the developer reads them."""

from __future__ import annotations

import ssl

import pytest

from terralive_relay.stage_errors import forbidden, not_connected
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.trust_store import untrusted

URL = "wss://a1.execute-api.eu-west-1.amazonaws.com/relay"


def test_a_relay_that_never_connected_names_the_last_reason() -> None:
    error = not_connected(60, URL, "Connection refused")
    assert error.reference == "relay-not-connected"
    assert error.message.endswith(f"within 60 s ({URL}). Connection refused")


def test_a_relay_that_never_trusted_the_certificate_names_it_and_what_to_set() -> None:
    cause = ssl.SSLCertVerificationError(1, "failed")
    cause.verify_message = "self-signed certificate in certificate chain"
    error = not_connected(60, URL, untrusted(cause, "a1.execute-api.eu-west-1.amazonaws.com"))
    assert error.reference == "certificate-untrusted"
    assert (
        "The reason: the certificate of a1.execute-api.eu-west-1.amazonaws.com is not trusted"
        " (self-signed certificate in certificate chain)" in error.message
    )
    assert "set AWS_CA_BUNDLE" in error.message


@pytest.mark.parametrize(
    ("status", "reference", "next_step"),
    [
        (401, "relay-token-refused", "Run the command again"),
        (401, "relay-token-refused", "this machine's clock"),
        (403, "relay-forbidden", "execute-api:Invoke"),
    ],
)
def test_a_token_that_is_refused_is_told_from_a_missing_permission(
    status: int, reference: str, next_step: str
) -> None:
    error = forbidden(status, f"HTTP {status} Forbidden")
    assert isinstance(error, CredentialsError)
    assert error.reference == reference
    assert f"HTTP {status} Forbidden" in error.message
    assert next_step in error.hint
