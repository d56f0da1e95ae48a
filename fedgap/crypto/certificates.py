"""Certificates for a server without one: a small CA of its own, and what it signs. X.509 on NIST curves, RFC 5280.

The CA's fingerprint stands in every invitation, so no public CA is needed and no other CA is trusted.
"""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedgap.crypto.errors import BadBytesError, BadKeyError

CA_DAYS = 3650
SERVER_DAYS = 397
_EARLIER = dt.timedelta(hours=1)
"""Certificates begin a little earlier, for clocks that are behind."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key.

    Attributes:
        certificate: PEM.
        key: PEM of the private key, not encrypted: keep it in a private file.
    """

    certificate: bytes
    key: bytes = field(repr=False)


def new_ca(name: str, *, now: dt.datetime) -> Certificate:
    """Make a CA that may sign server certificates and no further CA.

    Args:
        name: what it is called.
        now: time zone included.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, subject, key.public_key(), now, CA_DAYS).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    signed = builder.add_extension(usage, critical=True).sign(key, hashes.SHA384())
    return Certificate(signed.public_bytes(Encoding.PEM), _pem(key))


def server_certificate(ca: Certificate, hosts: Sequence[str], *, now: dt.datetime) -> Certificate:
    """Let the CA vouch for a server under these names.

    Args:
        ca: made by `new_ca`.
        hosts: names and addresses under which participants reach it; at least one.
        now: time zone included.

    Raises:
        BadBytesError: the CA cannot be read, or there is no host.
    """
    if not hosts:
        raise BadBytesError("A server certificate needs the name of a host.")
    authority, signer = _read(ca.certificate), _private(ca.key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    builder = (
        _builder(subject, authority.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    signed = builder.sign(signer, hashes.SHA384())
    return Certificate(signed.public_bytes(Encoding.PEM), _pem(key))


def der_of(certificate: bytes) -> bytes:
    """Turn a certificate's PEM into its DER bytes, over which fingerprints are taken.

    Raises:
        BadBytesError: it is no certificate.
    """
    return _read(certificate).public_bytes(Encoding.DER)


def fingerprint(certificate: bytes) -> bytes:
    """SHA-256 of a certificate (PEM), 32 bytes."""
    return hashlib.sha256(der_of(certificate)).digest()


def expires(certificate: bytes) -> dt.datetime:
    """Tell until when a certificate (PEM) is valid."""
    return _read(certificate).not_valid_after_utc


def serves(certificate: bytes, key: bytes, hosts: Sequence[str]) -> bool:
    """Tell whether a certificate (PEM) belongs to this key (PEM) and names all of these hosts."""
    try:
        found, private = _read(certificate), _private(key)
        names = set(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (BadBytesError, x509.ExtensionNotFound):
        return False
    return found.public_key() == private.public_key() and names >= {_name(host) for host in hosts}


def node_key_pem(line: str) -> bytes:
    """Turn a node's public key, one line in OpenSSH's format, into the PEM that Flower knows it by.

    Raises:
        BadKeyError: it is no elliptic-curve key.
    """
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, TypeError) as error:
        raise BadKeyError("A node key is malformed.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadKeyError("A node key is not on an elliptic curve.")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise BadBytesError("This is no certificate.") from error


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise BadBytesError("This is no private key.") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise BadBytesError("The CA's key is not on an elliptic curve.")
    return found
