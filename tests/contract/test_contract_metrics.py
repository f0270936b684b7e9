"""GET /metrics, /_status/vars and rules/: what Prometheus gets from each node."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fix_cluster import Api, Reply, add_user, wait_until
from rangeland.collect.metrics import METRICS, OF_A_NODE, Kind
from rangeland.collect.rules import ALERTS, RECORDING
from rangeland.engine.cluster import Cluster

PATHS = ("/metrics", "/metrics/", "/_status/vars", "/_status/vars/")
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # Prometheus 2
ABSENT_HERE = {"sql.query.count", "pg.checksum_failures"}  # without the extension, or without checksums
OF_PROMETHEUS = {"up"}


def families(answer: Reply) -> dict[str, Metric]:
    """By the family's name."""
    assert answer.status == 200, answer.text
    parse = parse_openmetrics if "openmetrics" in answer.headers["content-type"] else parse_text
    return {family.name: family for family in parse(answer.text)}


def samples(answer: Reply) -> dict[str, float]:
    """Of the answering node, by the name in queries; those with more labels than node and store are left out."""
    return {
        sample.name: sample.value
        for family in families(answer).values()
        for sample in family.samples
        if sample.labels.keys() <= {"node_id", "store"}
    }


@pytest.mark.parametrize("path", PATHS)
def test_anyone_may_ask_every_node(apis: list[Api], path: str) -> None:
    for api in apis:
        answer = api.get(path)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert samples(answer)["rangeland_server_up"] == 1


def test_the_client_chooses_openmetrics(apis: list[Api]) -> None:
    answer = apis[0].get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert answer.text.endswith("# EOF\n")
    assert samples(answer)["rangeland_server_up"] == 1


def test_a_client_that_takes_gzip_gets_it(apis: list[Api]) -> None:
    plain, packed = apis[0].get("/metrics"), apis[0].get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 3
    assert packed.headers["content-type"] == plain.headers["content-type"]


def test_head_has_no_body_and_post_is_405(apis: list[Api]) -> None:
    head = apis[0].request("HEAD", "/metrics")
    assert (head.status, head.body) == (200, b"")
    assert apis[0].request("POST", "/metrics").status == 405


def test_every_metric_is_there_with_its_kind_and_help(apis: list[Api]) -> None:
    for api, one_sided in zip(
        apis, ({"pg.replication.receiving", "pg.replication.delay.seconds"}, set(), set()), strict=True
    ):
        found = families(api.get("/metrics"))
        behind_it = set() if one_sided else {"pg.wal.retained.bytes", "pg.replication.lag.seconds"}
        for metric in METRICS:
            if metric.name in ABSENT_HERE | one_sided | behind_it and metric.family not in found:
                continue
            family = found[metric.family]
            assert (family.type, family.documentation) == (metric.kind.value, metric.help)
            [sample] = family.samples
            assert sample.name == metric.exposed_name
            assert sample.labels.keys() == ({"node_id"} if metric in OF_A_NODE else {"node_id", "store"})


def test_the_figures_are_those_of_nodes(apis: list[Api], token: str) -> None:
    """What can't change between the two requests; the rest comes from the same reading."""
    for api in apis:
        scraped = samples(api.get("/metrics"))
        by_id = {node["node_id"]: node for node in apis[0].get("nodes/", token).json["nodes"]}
        [own] = [node for node in by_id.values() if node["address"]["address_field"] == api.host]
        told = {**own["metrics"], **own["store_metrics"][str(own["node_id"])]}
        exposed = {metric.name: metric.exposed_name for metric in METRICS}
        assert {exposed[name] for name in told} <= scraped.keys()
        for name in ("capacity", "pg.connections.max", "pg.xid.freeze_max_age", "replicas", "pg.checkpoints.timed"):
            assert scraped[exposed[name]] == told[name], name
        assert scraped["sys_uptime"] <= told["sys.uptime"]
        assert scraped["rangeland_server_primary"] == (own["role"] == "primary")
        assert scraped["rangeland_server_timeline"] == own["timeline"]
        assert scraped["rangeland_cluster_members"] == 3


def test_there_is_a_line_for_each_other_node(apis: list[Api]) -> None:
    for api in apis:
        found = families(api.get("/metrics"))
        [up] = found["rangeland_server_up"].samples
        peers = {sample.labels["peer"]: sample.value for sample in found["rangeland_peer_silent"].samples}
        assert peers == dict.fromkeys({"1", "2", "3"} - {up.labels["node_id"]}, 0)


def test_requests_are_counted_by_endpoint_and_status(apis: list[Api]) -> None:
    api = apis[1]

    def counted(endpoint: str, status: int) -> float:
        family = families(api.get("/metrics"))["rangeland_http_requests"]
        labels = {"endpoint": endpoint, "status": str(status)}
        return sum(sample.value for sample in family.samples if sample.labels == labels)

    asked = [("ranges/1/", "/api/v2/ranges/{range_id}/", 401), ("no/such/path", "other", 404)]
    for path, endpoint, status in asked:
        before = counted(endpoint, status)
        assert api.get(path).status == status
        assert counted(endpoint, status) == before + 1
    posted = counted("/api/v2/nodes/", 405)
    assert api.request("POST", "nodes/").status == 405
    assert counted("/api/v2/nodes/", 405) == posted + 1


def test_the_time_of_an_answer_is_in_a_histogram(apis: list[Api]) -> None:
    apis[2].get("health/")
    family = families(apis[2].get("/metrics"))["rangeland_http_request_duration_seconds"]
    own = [each for each in family.samples if each.labels["endpoint"] == "/api/v2/health/"]
    buckets = [each.value for each in own if each.name.endswith("_bucket")]
    [count] = [each.value for each in own if each.name.endswith("_count")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == count >= 1
    assert buckets[-2] == count, "within 5 s"


def test_it_names_nobody_and_nothing(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Only node ids, versions, paths of the reference, statuses, and kinds of problems are in labels."""
    add_user(cluster, "somebody_else")
    for api in apis:
        api.log_in("somebody_else", "wrong")
        api.get("databases/pgbench/tables/pgbench_accounts/", token)
        api.get("somebody_else/", token)
        text = api.get("/metrics").text
        secrets = [word for word in cluster.servers[0].password_by_user.values() if len(word) > 8]
        names = [
            "somebody_else",
            "pgbench",
            "postgres",
            "demo",
            "localhost",
            "127.0.0.1",
            token,
            str(cluster.workplace.path),
        ]
        without_help = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        assert [word for word in (*names, *secrets) if word in without_help] == []
        labels = {name for line in without_help.splitlines() for name in re.findall(r'(\w+)="', line)}
        assert labels - {"kind", "severity"} == {
            "node_id",
            "store",
            "peer",
            "version",
            "server_version",
            "endpoint",
            "status",
            "le",
        }


def test_rules_are_a_map_of_two_groups_for_anyone(apis: list[Api]) -> None:
    for api in apis:
        answer = api.get("rules/")
        assert answer.headers["content-type"] == "text/plain"
        groups = yaml.safe_load(answer.text)
        assert list(groups) == ["rules/recording", "rules/alerts"]
        assert [rule["record"] for rule in groups["rules/recording"]["rules"]] == [rule.record for rule in RECORDING]
        assert [rule["alert"] for rule in groups["rules/alerts"]["rules"]] == [rule.alert for rule in ALERTS]


def test_prometheus_format_is_a_rule_file_and_no_other_is_known(apis: list[Api]) -> None:
    keyed, listed = apis[0].get("rules/"), apis[0].get("rules/?format=prometheus")
    groups = yaml.safe_load(listed.text)["groups"]
    assert {group["name"]: {"rules": group["rules"]} for group in groups} == yaml.safe_load(keyed.text)
    wrong = apis[0].get("rules/?format=xml")
    assert (wrong.status, wrong.text) == (400, "invalid format value: leave it out, or prometheus\n")


def test_every_metric_in_a_rule_is_there_to_be_scraped(apis: list[Api]) -> None:
    apis[0].log_in("nobody_such", "wrong")  # a line of logins refused

    def all_names() -> set[str]:
        found = [families(api.get("/metrics")) for api in apis]
        return {sample.name for each in found for family in each.values() for sample in family.samples}

    wait_until(lambda: "capacity_available" in all_names(), "sizes are read")
    rules = yaml.safe_load(apis[0].get("rules/").text)
    exprs = [rule["expr"] for group in rules.values() for rule in group["rules"]]
    recorded = {rule.record for rule in RECORDING}
    used = {name for expr in exprs for name in metric_names(expr)}
    described = {metric.exposed_name for metric in METRICS}
    assert used - recorded - OF_PROMETHEUS - all_names() <= {"pg_checksum_failures_total"} & described
    assert len(used) > 30


def metric_names(expr: str) -> Iterator[str]:
    """The selectors of an expression of ours: words that are no function, label, string, duration or operator."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expr)
    bare = re.sub(r"\b(?:by|on|ignoring)\s*\([^)]*\)", " ", bare)
    for word in re.finditer(r"(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare):
        if word[0] not in ("and", "or", "unless", "sum", "max", "by", "on", "bool"):
            yield word[0]


def test_a_counter_is_one_whose_name_says_so() -> None:
    assert all(metric.exposed_name.endswith("_total") == (metric.kind is Kind.COUNTER) for metric in METRICS)
