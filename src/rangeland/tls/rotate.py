"""Replacing the cluster key while the cluster runs: every node must accept a key before any node signs with it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from rangeland.errors import TlsError
from rangeland.tls.make import new_cluster_key, write_cluster_keys
from rangeland.tls.read import read_cluster_keys


class RotationStep(Enum):
    """In this order; after each one the file goes to every node, and every node reads it again (SIGHUP)."""

    ADD = "add"  # a new key is accepted, and signs nothing yet
    USE = "use"  # the new key signs, the old one is still accepted
    DROP = "drop"  # the old key is accepted no more


def rotate_cluster_key(certs_dir: Path, step: RotationStep) -> list[Path]:
    """Take one step of a rotation in certs_dir/cluster.key; returns the files written.

    Raises: TlsError, also where it is not this step's turn.
    """
    keys = read_cluster_keys(certs_dir)
    match step, len(keys):
        case RotationStep.ADD, 1:
            keys = (*keys, new_cluster_key())
        case RotationStep.USE, 2:
            keys = keys[::-1]
        case RotationStep.DROP, 2:
            keys = keys[:1]
        case RotationStep.ADD, _:
            raise TlsError(
                "cluster.key holds two keys already: a rotation was begun; go on with use, or end it with drop"
            )
        case _:
            raise TlsError(f"cluster.key holds {len(keys)} key: begin the rotation with add")
    return write_cluster_keys(certs_dir, keys, overwrite=True)
