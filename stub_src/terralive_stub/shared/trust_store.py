"""Certificate authorities that a TLS connection trusts. Standard library only: stubs use it, too.

AWS's SDKs and its CLI read `AWS_CA_BUNDLE` and `ca_bundle`:
https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError

# The reference of a certificate that is not trusted, with which a reason begins.
UNTRUSTED: Final = "certificate-untrusted"
BUNDLE_VARIABLES: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def only(bundle: str, source: str) -> ssl.SSLContext:
    """Return a context that trusts the authorities of one file and no others, as boto3 does.

    Args:
        bundle: the path of a file with certificates in PEM format, or of a folder of such files
            that `openssl rehash` has prepared.
        source: the setting that names the file, for the error.

    Raises:
        ConfigurationError: `ca-bundle-unreadable`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        _load(context, bundle)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise ConfigurationError(
            "ca-bundle-unreadable",
            f"The certificates of {bundle}, which {source} names, cannot be read: {reason}.",
            hint=f"Correct {source}: it names a file with certificates in PEM format.",
        ) from None
    return context


def system_and(bundles: Iterable[str]) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those of all readable files.

    The system's come first from its own store, and from `SSL_CERT_FILE` where it is set:
    https://docs.python.org/3/library/ssl.html#ssl.SSLContext.load_default_certs
    """
    # From Python 3.13 on `ssl.create_default_context` is stricter than boto3, and refuses the
    # authorities of some proxies.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    for bundle in bundles:
        with contextlib.suppress(OSError):
            _load(context, bundle)
    return context


def of_function(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context of a stub: Lambda's authorities, and the bundle that its function names.

    A file of the function's own package is not there, because the stub has its place.
    """
    named = [environ[name] for name in BUNDLE_VARIABLES if environ.get(name)]
    return system_and(named)


def _load(context: ssl.SSLContext, bundle: str) -> None:
    """Trust the authorities of a file or folder. Raises OSError if that cannot be read."""
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)


def untrusted(error: BaseException, host: str) -> str:
    """Return the text for a certificate that is not trusted, or "" for any other error."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    reason = error.verify_message or str(error)
    return (
        f"{UNTRUSTED}: the certificate of {host} is not trusted ({reason.rstrip('.')});"
        " if a proxy of your organisation answers for it, set AWS_CA_BUNDLE to a file with the"
        " proxy's certificate authority"
    )
