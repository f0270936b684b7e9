"""When the certificates of a node's directory end, to be told in time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rangeland.errors import TlsError
from rangeland.tls import files
from rangeland.tls.certificates import parse_certificates


def read_cert_ends(certs_dir: Path) -> dict[str, datetime]:
    """By file name: when the first of a chain ends, and the last of several authorities (UTC). Keys aren't read.

    What a node serves is ui.crt if it is there, else node.crt. Raises: TlsError.
    """
    try:
        present = {entry.name for entry in certs_dir.iterdir()}
    except OSError as exc:
        raise TlsError(f"can't read the certificates directory {certs_dir}: {exc.strerror}") from exc
    served = files.UI_CERT if files.UI_CERT in present else files.NODE_CERT
    clients = sorted(name for name in present if name.endswith(".crt") and files.client_of(name))
    authorities = (files.CA_CERT, files.UI_CA_CERT)
    ends = {}
    for name in (*authorities, served, *clients):
        if name in present:
            pem = files.read_public(certs_dir / name)
            ends_at = [one.not_valid_after_utc for one in parse_certificates(pem, certs_dir / name)]
            ends[name] = max(ends_at) if name in authorities else min(ends_at)
    return ends
