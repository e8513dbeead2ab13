"""Certificate authorities that boto3 trusts, for the relay's connection.

In boto3's order: `AWS_CA_BUNDLE`, `ca_bundle` of the profile, `REQUESTS_CA_BUNDLE`. Where none of
them is set, boto3 trusts certifi's authorities or its own copy of them. The relay also trusts the
system's then: many organisations add theirs there.
https://docs.aws.amazon.com/boto3/latest/guide/configuration.html
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from terralive_stub.shared import trust_store

_WITH_TLS: Final = ("https://", "wss://")


def ca_bundle() -> str | None:
    """Return the file with the authorities that boto3 is told to trust; None for none."""
    import botocore.session  # noqa: PLC0415  # heavy

    bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    return str(bundle) if bundle else os.environ.get("REQUESTS_CA_BUNDLE")


def relay_trust(url: str) -> ssl.SSLContext | None:
    """Return what the relay's connection trusts; None for a connection without TLS.

    Args:
        url: the address that the relay connects to.

    Raises:
        ConfigurationError: `ca-bundle-unreadable`.
    """
    if not url.startswith(_WITH_TLS):
        return None

    import botocore.session  # noqa: PLC0415  # heavy
    from botocore.httpsession import where  # noqa: PLC0415  # heavy

    bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    if bundle:
        source = "`ca_bundle` of the AWS profile"
        if os.environ.get("AWS_CA_BUNDLE"):
            source = "AWS_CA_BUNDLE"
        return trust_store.only(str(bundle), source)
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        return trust_store.only(bundle, "REQUESTS_CA_BUNDLE")
    return trust_store.system_and([where()])
