"""Make the certificate authority, the certificates of a node and of a client, and the cluster key."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from rangeland.errors import TlsError
from rangeland.tls import files
from rangeland.tls.certificates import (
    PrivateKey,
    build_ca,
    build_client,
    build_node,
    is_authority,
    is_key_of,
    new_key,
    parse_certificates,
    parse_key,
    pem_of_certificates,
    pem_of_key,
    utc,
)
from rangeland.tls.names import parse_hosts, parse_user

BACKDATED = timedelta(days=1)  # for nodes whose clock is behind this one's; the reference's day
CA_LIFETIME = timedelta(hours=87840)  # 10 years, as the reference
NODE_LIFETIME = timedelta(days=825) - BACKDATED  # Apple's programs refuse certificates of more than 825 days
MAX_LIFETIME = timedelta(days=36525)  # 100 years: a date in X.509 must stay below the year 10000

CLUSTER_KEY_BYTES = 32  # HS256 needs as many as SHA-256 gives
CLUSTER_KEY_HEADER = "# Rangeland cluster key: secret, and the same on every node."


def create_ca(
    certs_dir: Path,
    ca_key: Path,
    *,
    lifetime: timedelta = CA_LIFETIME,
    overwrite: bool = False,
    allow_ca_key_reuse: bool = False,
    now: datetime | None = None,
) -> list[Path]:
    """Make `ca_key` and certs_dir/ca.crt; returns the files written.

    The authorities of an existing ca.crt stay in it, behind the new one: during a rotation nodes with
    certificates of either trust each other. `overwrite` drops them, and replaces an existing key;
    `allow_ca_key_reuse` signs with the existing key. Raises: TlsError.
    """
    now = now or datetime.now(UTC)
    cert_path = certs_dir / files.CA_CERT
    has_key = os.path.isfile(ca_key)
    is_reused = allow_ca_key_reuse and has_key
    if has_key and not (is_reused or overwrite):
        raise TlsError(f"{ca_key} exists: --allow-ca-key-reuse signs with it, --overwrite replaces it")
    key = parse_key(files.read_private(ca_key), ca_key) if is_reused else new_key()
    kept = [] if overwrite or not files.is_there(cert_path) else _read_authorities(cert_path)
    not_before, not_after = now - BACKDATED, now + _require_lifetime(lifetime)
    certificates = [build_ca(key, not_before=not_before, not_after=not_after), *kept]
    written = [files.NewFile(cert_path, pem_of_certificates(certificates), files.PUBLIC, replace=True)]
    if not is_reused:
        written.insert(0, files.NewFile(ca_key, pem_of_key(key), files.PRIVATE, replace=overwrite))
    files.write_files(written)
    return [file.path for file in written]


def create_node(
    certs_dir: Path,
    ca_key: Path,
    hosts: Sequence[str],
    *,
    lifetime: timedelta | None = None,
    overwrite: bool = False,
    now: datetime | None = None,
) -> list[Path]:
    """Make certs_dir/node.key and node.crt for these host names and addresses; returns the files written.

    Without `lifetime` it is NODE_LIFETIME, or what is left of the authority's. Raises: TlsError.
    """
    now = now or datetime.now(UTC)
    names = parse_hosts(hosts)
    authority, authority_key = _read_authority_and_key(certs_dir, ca_key)
    key = new_key()
    certificate = build_node(
        key,
        names,
        ca_certificate=authority,
        ca_key=authority_key,
        not_before=max(now - BACKDATED, authority.not_valid_before_utc),
        not_after=_end(now, lifetime, authority, certs_dir / files.CA_CERT),
    )
    return _write_pair(certs_dir / files.NODE_KEY, key, certs_dir / files.NODE_CERT, certificate, overwrite)


def create_client(
    certs_dir: Path,
    ca_key: Path,
    user: str,
    *,
    lifetime: timedelta | None = None,
    overwrite: bool = False,
    now: datetime | None = None,
) -> list[Path]:
    """Make certs_dir/client.USER.key and client.USER.crt, for clients only; returns the files written.

    Without `lifetime` it is NODE_LIFETIME, or what is left of the authority's. Raises: TlsError.
    """
    now = now or datetime.now(UTC)
    name = parse_user(user)
    authority, authority_key = _read_authority_and_key(certs_dir, ca_key)
    key = new_key()
    certificate = build_client(
        key,
        name,
        ca_certificate=authority,
        ca_key=authority_key,
        not_before=max(now - BACKDATED, authority.not_valid_before_utc),
        not_after=_end(now, lifetime, authority, certs_dir / files.CA_CERT),
    )
    cert_name, key_name = files.client_files(name)
    return _write_pair(certs_dir / key_name, key, certs_dir / cert_name, certificate, overwrite)


def create_cluster_key(certs_dir: Path, *, overwrite: bool = False) -> list[Path]:
    """Make certs_dir/cluster.key with a random key; returns the files written. Raises: TlsError."""
    key = base64.b64encode(secrets.token_bytes(CLUSTER_KEY_BYTES)).decode()
    text = f"{CLUSTER_KEY_HEADER}\n{key}\n"
    path = certs_dir / files.CLUSTER_KEY
    files.write_files([files.NewFile(path, text.encode(), files.PRIVATE, replace=overwrite)])
    return [path]


def _write_pair(
    key_path: Path, key: PrivateKey, cert_path: Path, certificate: x509.Certificate, overwrite: bool
) -> list[Path]:
    files.write_files(
        [
            files.NewFile(key_path, pem_of_key(key), files.PRIVATE, replace=overwrite),
            files.NewFile(cert_path, pem_of_certificates([certificate]), files.PUBLIC, replace=overwrite),
        ]
    )
    return [key_path, cert_path]


def _read_authority_and_key(certs_dir: Path, ca_key: Path) -> tuple[x509.Certificate, PrivateKey]:
    """The authority that signs; its certificate is in ca.crt."""
    key = parse_key(files.read_private(ca_key, hint="rangeland cert create-ca"), ca_key)
    return _read_authority_of(key, certs_dir / files.CA_CERT, ca_key), key


def _read_authorities(path: Path) -> list[x509.Certificate]:
    return parse_certificates(files.read_public(path, hint="rangeland cert create-ca"), path)


def _read_authority_of(key: PrivateKey, path: Path, key_path: Path) -> x509.Certificate:
    """The certificate in ca.crt that belongs to the key."""
    authority = next((found for found in _read_authorities(path) if is_key_of(found, key, path)), None)
    if authority is None:
        raise TlsError(f"{key_path} is the key of another authority than those in {path}")
    if not is_authority(authority, path):
        raise TlsError(f"{path} is not an authority's certificate: it may not sign others")
    return authority


def _end(now: datetime, lifetime: timedelta | None, authority: x509.Certificate, path: Path) -> datetime:
    end = authority.not_valid_after_utc
    if end <= now:
        raise TlsError(f"{path} expired on {utc(end)}: make a new one with `rangeland cert create-ca`")
    if lifetime is None:
        return min(now + NODE_LIFETIME, end)
    if now + _require_lifetime(lifetime) > end:
        raise TlsError(f"the lifetime is too long: the authority in {path} itself expires on {utc(end)}")
    return now + lifetime


def _require_lifetime(lifetime: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= lifetime <= MAX_LIFETIME:
        raise TlsError("a certificate's lifetime must be between 1 minute and 100 years")
    return lifetime
