"""Certificates and private keys as values: parse, build and compare them. No files and no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rangeland.errors import TlsError
from rangeland.tls.names import Address

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_CURVES = ("secp256r1", "secp384r1")  # those that every TLS library takes
_MIN_RSA_BITS = 2048
_BROKEN = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_SERVER_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
_CLIENT_USAGES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)


def utc(moment: datetime) -> str:
    """As people read it: `2031-05-04 12:00:00 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def new_key() -> ec.EllipticCurvePrivateKey:
    """EC P-256: as strong as RSA 3072, accepted everywhere, and a handshake costs the node a tenth."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key: PrivateKey) -> bytes:
    """PKCS#8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem_of_certificates(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


@contextmanager
def _parsing(path: Path) -> Iterator[None]:
    """Turn what a broken certificate raises into a TlsError; it is parsed lazily, so any look may find it."""
    try:
        yield
    except _BROKEN as exc:
        raise TlsError(f"{path} is not a certificate that can be used: {str(exc).splitlines()[0]}") from exc


def parse_certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    """All certificates of a PEM file in its order, at least one. Raises: TlsError."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise TlsError(f"{path} is not a certificate in PEM format")
    with _parsing(path):
        return x509.load_pem_x509_certificates(pem)


def parse_key(pem: bytes, path: Path) -> PrivateKey:
    """An unencrypted private key in PEM format. Raises: TlsError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise TlsError(f"{path} is encrypted with a passphrase, which a node has nobody to ask for") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise TlsError(f"{path} is not a private key in PEM format") from exc
    match key:
        case rsa.RSAPrivateKey() if key.key_size >= _MIN_RSA_BITS:
            return key
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return key
        case ed25519.Ed25519PrivateKey():
            return key
    raise TlsError(f"{path} is a key of a kind that can't be used: take EC P-256 or P-384, RSA 2048, or Ed25519")


def is_key_of(certificate: x509.Certificate, key: PrivateKey, path: Path) -> bool:
    """Whether the private key belongs to the certificate, which `path` holds. Raises: TlsError."""
    with _parsing(path):
        return _public_bytes(certificate.public_key()) == _public_bytes(key.public_key())


def _public_bytes(key: object) -> bytes:
    encoding, public_format = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, public_format))  # type: ignore[attr-defined] # a dozen types, no common one


def names_of(certificate: x509.Certificate, path: Path) -> tuple[str, ...]:
    """DNS names and IP addresses of the SAN, in its order; empty if there are none. Raises: TlsError."""
    with _parsing(path):
        try:
            san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        return tuple(str(name.value) for name in san if isinstance(name, x509.DNSName | x509.IPAddress))


def is_for_servers(certificate: x509.Certificate, path: Path) -> bool:
    """Whether the certificate's extended key usage, if it has one, allows a TLS server. Raises: TlsError."""
    return _is_for(certificate, _SERVER_USAGES, path)


def is_for_clients(certificate: x509.Certificate, path: Path) -> bool:
    """As `is_for_servers`, of a TLS client. Raises: TlsError."""
    return _is_for(certificate, _CLIENT_USAGES, path)


def _is_for(certificate: x509.Certificate, wanted: Sequence[x509.ObjectIdentifier], path: Path) -> bool:
    with _parsing(path):
        try:
            usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return True
        return any(usage in wanted for usage in usages)


def common_name_of(certificate: x509.Certificate, path: Path) -> str:
    """The subject's common name; "" if it has none. Raises: TlsError."""
    with _parsing(path):
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[-1].value) if names else ""


def is_authority(certificate: x509.Certificate, path: Path) -> bool:
    """Whether the certificate may sign others. Raises: TlsError."""
    with _parsing(path):
        try:
            return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            return False


def find_signer(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """The authority at the end of the chain that begins with chain[0]; None if it leads to none of them."""
    current, intermediates = chain[0], list(chain[1:])
    while True:
        for authority in authorities:
            if _is_signed_by(current, authority):
                return authority
        issuer = next((candidate for candidate in intermediates if _is_signed_by(current, candidate)), None)
        if issuer is None:
            return None
        intermediates.remove(issuer)
        current = issuer


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def build_ca(key: PrivateKey, *, not_before: datetime, not_after: datetime) -> x509.Certificate:
    """A self-signed authority that may sign nodes but no further authorities."""
    name = _name("Rangeland CA")
    public = key.public_key()
    builder = _certificate(name, name, not_before, not_after).public_key(public)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    own_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    builder = builder.add_extension(own_id, critical=False)
    return builder.sign(key, _digest(key))


def build_node(
    key: PrivateKey,
    names: Sequence[str | Address],
    *,
    ca_certificate: x509.Certificate,
    ca_key: PrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.Certificate:
    """A certificate for TLS servers and clients with these names and no others."""
    san = [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in names]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _certificate(_name("node"), ca_certificate.subject, not_before, not_after)
    builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    return _signed(builder, key, usages, ca_certificate, ca_key)


def build_client(
    key: PrivateKey,
    user: str,
    *,
    ca_certificate: x509.Certificate,
    ca_key: PrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.Certificate:
    """A certificate for TLS clients alone; the user, at most 64 characters, is its common name."""
    builder = _certificate(_name(user), ca_certificate.subject, not_before, not_after)
    return _signed(builder, key, [ExtendedKeyUsageOID.CLIENT_AUTH], ca_certificate, ca_key)


def _signed(
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    usages: Sequence[x509.ObjectIdentifier],
    ca_certificate: x509.Certificate,
    ca_key: PrivateKey,
) -> x509.Certificate:
    """What all certificates have in common that are no authority's."""
    public = key.public_key()
    builder = builder.public_key(public)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(_authority_key_id(ca_certificate, ca_key), critical=False)
    return builder.sign(ca_key, _digest(ca_key))


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Rangeland"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer_name=issuer, subject_name=subject)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(not_before).not_valid_after(not_after)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """What the key may sign: certificates and revocation lists, or TLS handshakes."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_id(ca_certificate: x509.Certificate, ca_key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    """The identifier that the authority gives itself: a foreign one may not be a hash of its key."""
    try:
        own = ca_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
