"""What a certificates directory holds, for `rangeland cert list`; what can't be used is a row too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rangeland.errors import TlsError
from rangeland.tls import files
from rangeland.tls.read import read_authorities, read_client, read_cluster_key, read_pair


@dataclass(frozen=True, slots=True)
class CertRow:
    """One certificate with its key. File names are relative to the directory, "" for none.

    `expires` (UTC) is None where nothing expires or it can't be read; `error` is "" for what can be used.
    """

    usage: str
    certificate_file: str
    key_file: str
    expires: datetime | None = None
    notes: str = ""
    error: str = ""


_KINDS = (
    ("CA", files.CA_CERT, ""),
    ("UI CA", files.UI_CA_CERT, ""),
    ("Node", files.NODE_CERT, files.NODE_KEY),
    ("UI", files.UI_CERT, files.UI_KEY),
    ("Cluster key", "", files.CLUSTER_KEY),
)


def list_certs(certs_dir: Path, *, now: datetime | None = None) -> list[CertRow]:
    """A row per kind that is there: CA, UI CA, node, UI, cluster key; then one per client, by name.

    Raises: TlsError for the directory.
    """
    moment = now or datetime.now(UTC)
    try:
        present = {entry.name for entry in certs_dir.iterdir()}
    except OSError as exc:
        raise TlsError(f"can't read the certificates directory {certs_dir}: {exc.strerror}") from exc
    clients = sorted({files.client_of(name) for name in present} - {""})
    kinds = [*_KINDS, *(("Client", *files.client_files(user)) for user in clients)]
    return [
        _row(certs_dir, usage, certificate_file, key_file, moment)
        for usage, certificate_file, key_file in kinds
        if {certificate_file, key_file} & present
    ]


def _row(certs_dir: Path, usage: str, certificate_file: str, key_file: str, now: datetime) -> CertRow:
    try:
        expires, notes = _look(certs_dir, certificate_file, key_file, now)
    except TlsError as exc:
        return CertRow(usage, certificate_file, key_file, error=str(exc))
    return CertRow(usage, certificate_file, key_file, expires, notes)


def _look(certs_dir: Path, certificate_file: str, key_file: str, now: datetime) -> tuple[datetime | None, str]:
    """When it expires, and what it is for."""
    if not certificate_file:
        read_cluster_key(certs_dir)
        return None, ""
    if not key_file:
        authorities = read_authorities(certs_dir / certificate_file, now=now)
        return authorities[0].not_valid_after_utc, f"authorities: {len(authorities)}"
    if user := files.client_of(certificate_file):
        return read_client(certs_dir, user, now=now), f"user: {user}"
    material = read_pair(certs_dir, certificate_file, key_file, now=now)
    return material.not_after, f"addresses: {','.join(material.names)}"
