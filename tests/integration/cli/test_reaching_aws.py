"""The first call of every command, against servers that answer as STS does.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest

from terralive_cli.deploy import aws
from terralive_cli.network.trust import relay_trust
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_testing.fakes.sts import serving_sts
from terralive_testing.machine.certificates import Authority


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The AWS settings of a user: keys in the environment, and no file."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize("offset_s", [0.0, 130.0, -240.0])
def test_the_difference_to_the_clock_of_aws_is_taken_from_its_answer(
    monkeypatch: pytest.MonkeyPatch, offset_s: float
) -> None:
    with serving_sts() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        caller = aws.identify("eu-west-1", clock=lambda: time.time() - offset_s)
    assert caller.clock_offset_s == pytest.approx(offset_s, abs=30)


def test_a_clock_that_is_too_wrong_for_aws_is_named_with_its_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving_sts(refuses=True) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(CredentialsError) as refused:
            aws.identify("eu-west-1", clock=lambda: time.time() - 3600)
    assert refused.value.reference == "clock-differs"
    assert "minutes behind AWS's clock" in refused.value.message


def test_a_refusal_with_the_right_clock_is_about_the_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving_sts(refuses=True) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(CredentialsError) as refused:
            aws.identify("eu-west-1")
    assert refused.value.reference == "credentials-rejected"


def test_an_endpoint_of_the_users_is_told_from_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_sts() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert aws.identify("eu-west-1").emulator == url
        # Only STS has another address: a private one of AWS's, perhaps. API Gateway is AWS's.
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        assert aws.identify("eu-west-1").emulator is None
        # A profile may name it, too.
        monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
        Path(os.environ["AWS_CONFIG_FILE"]).write_text(
            f"[default]\nendpoint_url = {url}\n", "utf-8"
        )
        assert aws.identify("eu-west-1").emulator == url


def test_an_untrusted_certificate_is_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path)
    with serving_sts(tls=authority.server) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(CredentialsError) as refused:
            aws.identify("eu-west-1")
        assert refused.value.reference == "certificate-untrusted"
        assert "AWS_CA_BUNDLE" in refused.value.hint

        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
        assert aws.identify("eu-west-1").account == "123456789012"


def _subjects(context: ssl.SSLContext | None) -> set[str]:
    """Names of the certificate authorities that a context trusts."""
    assert context is not None
    return {str(certificate["subject"]) for certificate in context.get_ca_certs()}


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "profile"])
def test_the_relay_trusts_the_bundle_that_boto3_uses_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    bundle = Authority.create(tmp_path).bundle
    if variable == "profile":
        Path(os.environ["AWS_CONFIG_FILE"]).write_text(
            f"[default]\nca_bundle = {bundle}\n", "utf-8"
        )
    else:
        monkeypatch.setenv(variable, str(bundle))
    assert len(_subjects(relay_trust("wss://host/relay"))) == 1


def test_without_a_bundle_the_relay_trusts_boto3s_authorities_and_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority.create(tmp_path).bundle))
    subjects = _subjects(relay_trust("https://host/relay"))
    assert len(subjects) > 50
    assert any("a company's proxy" in subject for subject in subjects)


def test_a_bundle_that_is_not_there_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigurationError) as refused:
        relay_trust("wss://host/relay")
    assert refused.value.reference == "ca-bundle-unreadable"
    assert "REQUESTS_CA_BUNDLE" in refused.value.message


def test_a_connection_without_tls_reads_no_certificates() -> None:
    assert relay_trust("ws://127.0.0.1:80/relay") is None
