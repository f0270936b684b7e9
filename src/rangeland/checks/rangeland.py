"""What is wrong with the nodes themselves: clocks, certificates, privileges, versions, and who belongs where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median_low

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.checks.words import duration, quoted
from rangeland.wire.parts import NodeAccount
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class PrivilegeRow(Struct, frozen=True):
    """Something that `rangeland init` grants and that a node's role doesn't have."""

    role: str
    privilege: str  # "pg_monitor" or "schema rangeland"


PRIVILEGES = Reading("missing_privileges", PrivilegeRow)
CLOCK_S = Limit("clock_offset_s", 5.0, "above the 4 s by which a slow answer may make a right clock look wrong")
CERTIFICATE_S = Limit("certificate_left_s", 30 * 86400.0, "a month, so that a holiday fits in")
CRITICAL_LEFT_S = 3 * 86400.0
AUTHORITIES = ("ca.crt", "ca-ui.crt")

_GRANTS = {
    "pg_monitor": "GRANT pg_monitor TO {role}",
    "schema rangeland": "GRANT USAGE ON SCHEMA rangeland TO {role}",
}


def judge(view: View) -> Iterator[Problem]:
    """A node that lacks privileges is not told to be in doubt, too."""
    yield from _clocks(view)
    yield from _certificates(view)
    yield from _privileges(view)
    yield from _versions(view)
    yield from _doubts(view)


def _accounts(view: View) -> dict[int, NodeAccount]:
    return {part.node_id: part.value.account for part in view.parts if part.value is not None and part.value.account}


def _clocks(view: View) -> Iterator[Problem]:
    """By how much each is ahead of the one in the middle; of two, of the one that is behind."""
    own_ids = [each for each in view.statuses if each not in view.clock_offset_s]  # the asked node, at 0
    offsets = {**dict.fromkeys(own_ids, 0.0), **view.clock_offset_s}
    if len(offsets) < 2:
        return
    middle = median_low(offsets.values())
    for node_id, offset in sorted(offsets.items()):
        off_s = offset - middle
        way = "ahead of" if off_s > 0 else "behind"
        if abs(off_s) > view.limit(CLOCK_S):
            yield Problem(  # noqa: S604 a text, not run here
                kind="clock_skewed",
                severity=Severity.WARNING,
                node_id=node_id,
                summary=f"the clock of the node's host is {duration(abs(off_s))} {way} the others",
                evidence={"clock_offset_s": round(off_s, 3)},
                source="the time that nodes put into each answer",
                next_step="Let a time service (chrony, systemd-timesyncd) set that host's clock. Until then times in "
                "logs and events don't fit together, and certificates and sessions may seem to have ended.",
                shell="timedatectl",
                run_on_node_id=node_id,
            )


def _certificates(view: View) -> Iterator[Problem]:
    """Of an authority, which all nodes share, one problem an end."""
    told: dict[tuple[str, int, bool], list[int]] = {}
    for node_id, account in _accounts(view).items():
        for each in account.certificates:
            waits = _left_s(view, each.ends_at_ns) >= view.limit(CERTIFICATE_S)
            ends_at_ns = each.served_ends_at_ns if waits and each.served_ends_at_ns else each.ends_at_ns
            if _left_s(view, ends_at_ns) < view.limit(CERTIFICATE_S):
                shared_by = 0 if each.file in AUTHORITIES else node_id
                told.setdefault((f"{shared_by}/{each.file}", ends_at_ns, waits), []).append(node_id)
    for (place, ends_at_ns, waits), node_ids in sorted(told.items()):
        file = place.partition("/")[2]
        pid = _accounts(view)[node_ids[0]].pid
        yield _certificate(view, file, ends_at_ns, node_ids, pid if waits else 0)


def _certificate(view: View, file: str, ends_at_ns: int, node_ids: Sequence[int], pid: int) -> Problem:
    """`pid` is of the node that has yet to read the file, which is newer; 0: the file itself ends."""
    left_s = _left_s(view, ends_at_ns)
    ends = rfc3339(datetime.fromtimestamp(ends_at_ns // 10**9, UTC))
    when = f"ends in {duration(left_s)}" if left_s > 0 else f"has ended {duration(-left_s)} ago"
    summary = f"the certificate in {file} {when}"
    if pid:
        summary = f"the certificate that the node serves {when}, and {file} holds a newer one"
    return Problem(
        kind="certificate_near_end",
        severity=Severity.CRITICAL if left_s < CRITICAL_LEFT_S else Severity.WARNING,
        node_id=node_ids[0] if len(node_ids) == 1 else 0,
        object=file,
        summary=f"{summary}: {_effect(file)}",
        evidence={"ends_at": ends, "left_s": round(left_s), "nodes": ", ".join(map(str, node_ids))},
        source=f"{file} in --certs-dir" if not pid else "the node's HTTP port",
        next_step=_renewal(file) if not pid else "Let the node read its certificates again: send it SIGHUP.",
        shell=f"kill -HUP {pid}" if pid else "",
        run_on_node_id=node_ids[0],
    )


def _effect(file: str) -> str:
    if file in AUTHORITIES:
        return "then no node believes another, and no client a node"
    return "then it is refused by who is asked with it" if file.startswith("client.") else "then nobody talks to it"


def _renewal(file: str) -> str:
    if file in AUTHORITIES:
        return (
            "Replace the authority: 'rangeland cert create-ca' puts a new one in front of the old one. Give the file "
            "to every node and client first, then make the nodes' certificates anew."
        )
    if file.startswith("client."):
        return f"Make it anew where ca.key is: 'rangeland cert create-client {file[7:-4]} --overwrite'."
    return (
        "Make a new one where ca.key is ('rangeland cert create-node HOST… --overwrite', or as your own authority "
        "does it), put it in place, and send the node SIGHUP."
    )


def _left_s(view: View, ends_at_ns: int) -> float:
    return ends_at_ns / 1e9 - view.now.timestamp()


def _privileges(view: View) -> Iterator[Problem]:
    """Roles are the same on every server: one problem a role and privilege, mended on the primary."""
    lacking: dict[tuple[str, str], list[int]] = {}
    for node_id, rows in view.rows(PRIVILEGES).items():
        for row in rows:
            lacking.setdefault((row.role, row.privilege), []).append(node_id)
    for (role, privilege), node_ids in sorted(lacking.items()):
        effect = "much of what is to be checked stays hidden" if privilege == "pg_monitor" else "it can't work on"
        yield Problem(
            kind="privilege_missing",
            severity=Severity.WARNING,
            object=role,
            summary=f"role {role}, as which nodes connect, lacks {privilege}: {effect}, and no node will start again",
            evidence={"privilege": privilege, "nodes": ", ".join(map(str, sorted(node_ids)))},
            source="pg_has_role, has_schema_privilege",
            next_step="Grant it again, as 'rangeland init' does.",
            sql=_GRANTS[privilege].format(role=quoted(role)),
            run_on_node_id=view.primary_id,
        )


def _versions(view: View) -> Iterator[Problem]:
    tags = {node_id: status.status.build_tag for node_id, status in view.statuses.items()}
    if len(set(tags.values())) > 1:
        told = ", ".join(f"node {node_id} {tag}" for node_id, tag in sorted(tags.items()))
        yield Problem(
            kind="rangeland_versions_differ",
            severity=Severity.INFO,
            summary=f"nodes run different versions of Rangeland: {told}",
            evidence={f"node_{node_id}": tag for node_id, tag in sorted(tags.items())},
            source="the nodes' build tags",
            next_step="Finish the upgrade, node by node: install, then restart. Two neighbouring versions work "
            "together; more is not promised.",
        )


def _doubts(view: View) -> Iterator[Problem]:
    """Of nodes whose server is up. Two beside one server, or several with the same doubt, are one problem."""
    accounts = _accounts(view)
    lacking = {node_id for node_id, rows in view.rows(PRIVILEGES).items() if rows}
    by_doubt: dict[str, list[int]] = {}
    for node_id, account in accounts.items():
        is_its_own = view.statuses[node_id].server_up and node_id not in lacking
        if account.doubt and is_its_own and not _is_told_by_rival(node_id, account, accounts):
            by_doubt.setdefault(account.doubt, []).append(node_id)
    for doubt, node_ids in by_doubt.items():
        yield Problem(
            kind="node_in_doubt",
            severity=Severity.WARNING,
            node_id=node_ids[0] if len(node_ids) == 1 else 0,
            summary=f"a node may not belong to the cluster: {doubt}",
            evidence={"nodes": ", ".join(map(str, node_ids))},
            source="what the node knows of its server and of the others",
            next_step="It isn't ready, so load balancers pass it over. See which server its --server-url names, and "
            " whether that server follows this cluster's primary; do what the text says.",
        )


def _is_told_by_rival(node_id: int, account: NodeAccount, accounts: Mapping[int, NodeAccount]) -> bool:
    rival = accounts.get(account.rival_node_id)
    return rival is not None and rival.rival_node_id == node_id and account.rival_node_id < node_id


CHECK = Check(
    name="rangeland",
    kinds={
        "clock_skewed": "A node's clock is wrong.",
        "certificate_near_end": "A certificate of a node will end soon, or has ended.",
        "privilege_missing": "The role as which nodes connect lost a privilege.",
        "rangeland_versions_differ": "Nodes run different versions of Rangeland.",
        "node_in_doubt": "A node may not belong to the cluster, or is one too many.",
    },
    judge=judge,
    readings=(PRIVILEGES,),
    limits=(CLOCK_S, CERTIFICATE_S),
)
