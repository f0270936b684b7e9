"""Read a node's TLS material and the cluster key, and refuse what would fail later in a less clear way."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from rangeland.errors import TlsError
from rangeland.tls import files
from rangeland.tls.certificates import (
    PrivateKey,
    common_name_of,
    find_signer,
    is_for_clients,
    is_for_servers,
    is_key_of,
    names_of,
    parse_certificates,
    parse_key,
    pem_of_certificates,
    pem_of_key,
    utc,
)
from rangeland.tls.make import CLUSTER_KEY_BYTES


@dataclass(frozen=True, slots=True)
class NodeMaterial:
    """What a node serves HTTPS with, checked.

    `cert_pem` is the file's content, with intermediates; `key_pem` is the key in PKCS#8, also where the file
    `key_path` is not (then `is_pkcs8` is False, and Granian can't read that file). `names` are DNS names and
    IP addresses in the certificate's order; `not_after` (UTC) is when the first of the chain expires.
    """

    cert_path: Path
    key_path: Path
    ca_path: Path
    cert_pem: bytes
    key_pem: bytes = field(repr=False)
    is_pkcs8: bool
    names: tuple[str, ...]
    not_after: datetime


def read_node_material(certs_dir: Path, *, now: datetime | None = None) -> NodeMaterial:
    """ui.crt and ui.key if they are there, else node.crt and node.key; checked, also against their CA.

    Raises: TlsError for what is missing, broken, expired, not yet valid, readable by others or not matching.
    """
    is_ui = any(files.is_there(certs_dir / name) for name in (files.UI_CERT, files.UI_KEY))
    cert_name, key_name = (files.UI_CERT, files.UI_KEY) if is_ui else (files.NODE_CERT, files.NODE_KEY)
    return read_pair(certs_dir, cert_name, key_name, now=now or datetime.now(UTC))


def read_pair(certs_dir: Path, cert_name: str, key_name: str, *, now: datetime) -> NodeMaterial:
    """As `read_node_material`, for these two files. Raises: TlsError."""
    cert_path, key_path, ca_path = certs_dir / cert_name, certs_dir / key_name, certs_dir / files.CA_CERT
    hint = "rangeland cert create-node HOST…" if cert_name == files.NODE_CERT else ""
    authorities = [one for path in _authority_paths(certs_dir) for one in read_authorities(path, now=now)]
    cert_pem = files.read_public(cert_path, hint=hint)
    chain = parse_certificates(cert_pem, cert_path)
    file_pem = files.read_private(key_path, hint=hint)
    key = _parse_key_of(chain[0], cert_path, file_pem, key_path)
    return NodeMaterial(
        cert_path=cert_path,
        key_path=key_path,
        ca_path=ca_path,
        cert_pem=cert_pem,
        key_pem=pem_of_key(key),
        is_pkcs8=b"-----BEGIN PRIVATE KEY-----" in file_pem,
        names=_require_server(chain, authorities, cert_path, now),
        not_after=min(certificate.not_valid_after_utc for certificate in chain),
    )


def read_client(certs_dir: Path, user: str, *, now: datetime) -> datetime:
    """Check client.USER.crt and its key; returns when it expires (UTC). Raises: TlsError."""
    cert_path, key_path = (certs_dir / name for name in files.client_files(user))
    hint = "rangeland cert create-client USER"
    authorities = read_authorities(certs_dir / files.CA_CERT, now=now)
    chain = parse_certificates(files.read_public(cert_path, hint=hint), cert_path)
    _parse_key_of(chain[0], cert_path, files.read_private(key_path, hint=hint), key_path)
    for certificate in chain:
        _require_valid(certificate, cert_path, now)
    if (name := common_name_of(chain[0], cert_path)) != user:
        raise TlsError(f"{cert_path} is the certificate of another user: {name!r}")
    if not is_for_clients(chain[0], cert_path):
        raise TlsError(f"{cert_path} is not made for a client: its extended key usage lacks clientAuth")
    if find_signer(chain, authorities) is None:
        raise TlsError(f"{cert_path} is not signed by an authority in {files.CA_CERT}")
    return min(certificate.not_valid_after_utc for certificate in chain)


def _parse_key_of(certificate: x509.Certificate, cert_path: Path, key_pem: bytes, key_path: Path) -> PrivateKey:
    key = parse_key(key_pem, key_path)
    if not is_key_of(certificate, key, cert_path):
        raise TlsError(f"{key_path} is not the key of {cert_path}")
    return key


def read_authorities(path: Path, *, now: datetime) -> list[x509.Certificate]:
    """Those in ca.crt or ca-ui.crt that are valid now, in file order, at least one. Raises: TlsError."""
    found = _read_authorities(path)
    valid = [one for one in found if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
    if not valid:
        _require_valid(found[0], path, now)
    return valid


def _read_authorities(path: Path) -> list[x509.Certificate]:
    hint = "rangeland cert create-ca" if path.name == files.CA_CERT else ""
    return parse_certificates(files.read_public(path, hint=hint), path)


def _authority_paths(certs_dir: Path) -> list[Path]:
    ui_ca = certs_dir / files.UI_CA_CERT
    return [certs_dir / files.CA_CERT, *([ui_ca] if files.is_there(ui_ca) else [])]


def _require_server(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], path: Path, now: datetime
) -> tuple[str, ...]:
    """The names for which clients and other nodes accept the chain. Raises: TlsError if there are none."""
    for certificate in chain:
        _require_valid(certificate, path, now)
    names = names_of(chain[0], path)
    if not names:
        raise TlsError(f"{path} names no host: it needs a subject alternative name")
    if not is_for_servers(chain[0], path):
        raise TlsError(f"{path} is not made for a server: its extended key usage lacks serverAuth")
    if find_signer(chain, authorities) is None:
        places = files.CA_CERT if path.name == files.NODE_CERT else f"{files.CA_CERT} or {files.UI_CA_CERT}"
        raise TlsError(f"{path} is not signed by an authority in {places}: other nodes could not verify it")
    return names


def _require_valid(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        raise TlsError(f"{path} is not valid before {utc(start)}: is this machine's clock right?")
    if now > end:
        raise TlsError(f"{path} expired on {utc(end)}")


def read_cluster_key(certs_dir: Path) -> bytes:
    """The secret that all nodes share, 32 bytes. Raises: TlsError."""
    path = certs_dir / files.CLUSTER_KEY
    lines = files.read_private(path, hint="rangeland cert create-cluster-key").splitlines()
    texts = [line.strip() for line in lines if line.strip() and not line.startswith(b"#")]
    try:
        key = base64.b64decode(b"\n".join(texts), validate=True)  # a second line is not base64
    except binascii.Error:
        key = b""
    if len(key) != CLUSTER_KEY_BYTES:  # the text itself stays out of the message: it may be nearly right
        raise TlsError(f"{path} is damaged: it must hold one key, {CLUSTER_KEY_BYTES} bytes in base64")
    return key


def client_context(certs_dir: Path | None, *, ca_cert: Path | None = None) -> ssl.SSLContext:
    """For clients of a node: trusts ca.crt (and ca-ui.crt) of `certs_dir`, or `ca_cert`, and nobody else.

    Without both it trusts what the machine trusts. Raises: TlsError.
    """
    paths = [ca_cert] if ca_cert else _authority_paths(certs_dir) if certs_dir else []
    if not paths:
        return ssl.create_default_context()
    pem = pem_of_certificates([one for path in paths for one in _read_authorities(path)])
    context = ssl.create_default_context(cadata=pem.decode("ascii"))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # ca.crt may hold an intermediate alone
    return context
