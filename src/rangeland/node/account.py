"""What a node says of itself for the checks: whether it is in doubt, and when its certificates end."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from rangeland.cluster import Cluster
from rangeland.errors import TlsError
from rangeland.node.membership import Membership
from rangeland.tls import NodeMaterial, read_cert_ends
from rangeland.wire.parts import CertificateEnd, NodeAccount
from rangeland.wire.problems import Unchecked
from rangeland.wire.times import ns


async def collect_account(
    cluster: Cluster, membership: Membership, certs_dir: Path | None, served: NodeMaterial | None
) -> tuple[NodeAccount, list[Unchecked]]:
    """`certs_dir` is None of a node that has none, `served` of one that leaves TLS to a proxy."""
    unchecked, ends = [], {}
    if certs_dir is not None:
        try:
            ends = await asyncio.to_thread(read_cert_ends, certs_dir)
        except TlsError as exc:
            unchecked.append(Unchecked(node_id=cluster.node_id, check="certificates", message=str(exc)))
    rival = cluster.rival()
    account = NodeAccount(
        pid=os.getpid(),
        doubt=membership.trouble or membership.doubt() or "",
        rival_node_id=rival.node_id if rival else 0,
        certificates=[_end(name, moment, served) for name, moment in ends.items()],
    )
    return account, unchecked


def _end(name: str, moment: datetime, served: NodeMaterial | None) -> CertificateEnd:
    is_served = served is not None and served.cert_path.name == name
    served_ns = ns(served.not_after) if served is not None and is_served else 0
    return CertificateEnd(file=name, ends_at_ns=ns(moment), served_ends_at_ns=served_ns)
