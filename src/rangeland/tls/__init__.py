"""TLS material and the cluster key: made for `rangeland cert`, checked for a node at start and at SIGHUP.

Not here: who may talk to whom (auth/, api/peer) and the listening socket (node/http). Decisions held here:
EC P-256 keys in PKCS#8, one certificate for server and client use, names only in the SAN, nothing half made.
Read first: read.py (what a node needs), then make.py. files.py is the only module that touches the disk.
"""

from rangeland.tls.ends import read_cert_ends
from rangeland.tls.files import (
    CA_CERT,
    CLUSTER_KEY,
    NODE_CERT,
    NODE_KEY,
    UI_CA_CERT,
    UI_CERT,
    UI_KEY,
    copy_shared,
)
from rangeland.tls.listing import CertRow, list_certs
from rangeland.tls.make import CA_LIFETIME, NODE_LIFETIME, create_ca, create_client, create_cluster_key, create_node
from rangeland.tls.names import is_named, parse_hosts
from rangeland.tls.read import (
    NodeMaterial,
    client_context,
    read_cluster_keys,
    read_node_material,
)
from rangeland.tls.rotate import RotationStep, rotate_cluster_key

__all__ = [
    "CA_CERT",
    "CA_LIFETIME",
    "CLUSTER_KEY",
    "NODE_CERT",
    "NODE_KEY",
    "NODE_LIFETIME",
    "UI_CA_CERT",
    "UI_CERT",
    "UI_KEY",
    "CertRow",
    "NodeMaterial",
    "RotationStep",
    "client_context",
    "copy_shared",
    "create_ca",
    "create_client",
    "create_cluster_key",
    "create_node",
    "is_named",
    "list_certs",
    "parse_hosts",
    "read_cert_ends",
    "read_cluster_keys",
    "read_node_material",
    "rotate_cluster_key",
]
