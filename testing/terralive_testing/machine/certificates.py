"""A certificate authority of this machine only, as a company's proxy has one, and a TLS server."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = dt.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A private certificate authority, and a certificate of its own for 127.0.0.1.

    Attributes:
        bundle: a file with the authority's certificate, which clients may trust.
        chain: a file with the server's certificate and the authority's.
        key: a file with the server's key.
        server: the TLS context of a server on 127.0.0.1.
    """

    bundle: Path
    chain: Path
    key: Path
    server: ssl.SSLContext

    @classmethod
    def create(cls, folder: Path, *names: str, valid: dt.timedelta = _VALID) -> Authority:
        """Create an authority; its files are in `folder`.

        Args:
            folder: an existing folder.
            names: host names that the server's certificate is valid for, beside 127.0.0.1.
            valid: how long the certificates are valid.
        """
        authority_key, name = ec.generate_private_key(ec.SECP256R1()), _name("a company's proxy")
        own = _certificate(name, name, authority_key.public_key(), valid)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        bundle = folder / "authority.pem"
        bundle.write_bytes(own.sign(authority_key, hashes.SHA256()).public_bytes(_PEM))

        server_key = ec.generate_private_key(ec.SECP256R1())
        valid_for: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            *(x509.DNSName(host) for host in names),
        ]
        signed = _certificate(_name("127.0.0.1"), name, server_key.public_key(), valid)
        signed = signed.add_extension(x509.SubjectAlternativeName(valid_for), critical=False)
        chain, key = folder / "server.pem", folder / "server.key"
        of_server = signed.sign(authority_key, hashes.SHA256()).public_bytes(_PEM)
        chain.write_bytes(of_server + bundle.read_bytes())
        private = server_key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key.write_bytes(private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        return cls(bundle, chain, key, context)


_PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + valid)
    )
