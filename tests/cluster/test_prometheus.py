"""A real Prometheus scrapes a real cluster over TLS; its rules are silent while all is well, and only then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fix_cluster import ANSWER_S, Api, apis_of, log_in, running_cluster, wait_until
from fix_prometheus import Prometheus, needs_prometheus, promtool, running_prometheus
from rangeland.cluster.cluster import PEER_TIMEOUT_S
from rangeland.collect.rules import ALERTS, RECORDING
from rangeland.engine.cluster import Cluster

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "prometheus.md"
MINUTES = 120
Series = dict[tuple[str, str, str], str]  # (name, labels without job and instance, instance) → values


pytestmark = pytest.mark.timeout(300)  # promtool computes two hours of 30 clusters: 6 s, and 50 on a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def rule_file(apis: list[Api], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a DBA gets it."""
    path = tmp_path_factory.mktemp("rules") / "rangeland.rules.yml"
    path.write_bytes(apis[1].get("rules/?format=prometheus").body)
    return path


@pytest.fixture
def config(cluster: Cluster, apis: list[Api], rule_file: Path, tmp_path: Path) -> Path:
    """That of the guide, with this cluster's addresses and files."""
    [block] = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    made = yaml.safe_load(block)
    [job] = made["scrape_configs"]
    assert (made["rule_files"], job["tls_config"]) == (
        ["/etc/prometheus/rangeland.rules.yml"],
        {"ca_file": "/etc/prometheus/rangeland-ca.crt"},
    )
    made["rule_files"] = [str(rule_file)]
    job["tls_config"]["ca_file"] = str(cluster.ca_cert)
    job["static_configs"] = [{"targets": [api.host for api in apis]}]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(made), "utf-8")
    return path


def at_once(config: Path, directory: Path) -> Path:
    """The same, in haste: every alert fires with its second evaluation."""
    made = yaml.safe_load(config.read_text("utf-8"))
    rules = Path(made["rule_files"][0]).read_text("utf-8")
    hasty = directory / "hasty.rules.yml"
    hasty.write_text(re.sub(r"^( +for:) .*$", r"\1 200ms", rules, flags=re.MULTILINE), "utf-8")
    made["rule_files"] = [str(hasty)]
    made["global"] = {"scrape_interval": "500ms", "evaluation_interval": "200ms"}
    path = directory / "hasty.yml"
    path.write_text(yaml.safe_dump(made), "utf-8")
    return path


@needs_prometheus
def test_the_rules_and_the_guide_s_configuration_are_accepted(rule_file: Path, config: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", rule_file)
    assert "SUCCESS" in promtool("check", "config", config)


# Each alert, on real samples of a healthy cluster with a few of them replaced.


@dataclass(frozen=True)
class Case:
    """What is wrong, and the alerts that must fire then, and no other."""

    alerts: set[str]
    values: Mapping[tuple[str, int], str] = field(default_factory=dict)  # (name, number of node from 1) → values
    added: Mapping[tuple[str, str, int], str] = field(default_factory=dict)  # with labels of its own
    removed: tuple[tuple[str, int], ...] = ()


def flat(number: float) -> str:
    return f"{number:.6f}+0x{MINUTES}"


GROWING = f"0+1x{MINUTES}"
REQUESTS = "rangeland_http_requests_total"

CASES = (
    Case(set()),
    Case({"NodeDown"}, {("up", 2): flat(0)}),
    Case({"NodeSilent"}, added={("rangeland_peer_silent", 'node_id="1",peer="9"', 1): flat(1)}),
    Case({"NodeNotReady"}, {("rangeland_node_ready", 2): flat(0)}),
    Case({"ServerDown"}, {("rangeland_server_up", 2): flat(0)}),
    Case({"ServerUnread"}, removed=(("pg_connections", 2),)),
    Case({"NoPrimary"}, {("rangeland_server_primary", 1): flat(0)}),
    Case({"TwoPrimaries", "StandbyMissing"}, {("rangeland_server_primary", 2): flat(1)}),
    Case({"StandbyMissing"}, {("pg_replication_standbys", 1): flat(1)}),
    Case({"StandbyNotReceiving"}, {("pg_replication_receiving", 3): flat(0)}),
    Case({"ReplicationLag"}, {("pg_replication_lag_bytes", 1): flat(2e9)}),
    Case({"ReplicationDelay"}, {("pg_replication_lag_seconds", 2): flat(400)}),
    Case({"WalRetained"}, {("pg_wal_retained_bytes", 1): flat(11 * 1024**3)}),
    Case(
        {"WalRetained"},
        {("pg_wal_retained_bytes", 1): flat(6e8), ("capacity_available", 1): flat(1e9)}
        | {("capacity", 1): flat(5e9)},
    ),
    Case({"ArchiveFailing"}, {("pg_archiver_failed_total", 1): GROWING}),
    Case({"DiskNearlyFull"}, {("capacity", 1): flat(1e12), ("capacity_available", 1): flat(5e10)}),
    Case({"DiskNearlyFull", "DiskAlmostFull"}, {("capacity", 1): flat(1e12), ("capacity_available", 1): flat(2e10)}),
    Case(
        {"DiskFillsSoon"},
        {("capacity", 1): flat(1e12), ("capacity_available", 1): f"190000000000-500000000x{MINUTES}"},
    ),
    Case({"TransactionIdsOld"}, {("pg_xid_age", 1): flat(5e8)}),
    Case({"TransactionIdsOld", "TransactionIdsRunOut"}, {("pg_xid_age", 1): flat(1.7e9)}),
    Case({"ChecksumFailures"}, added={("pg_checksum_failures_total", 'node_id="9",store="9"', 1): GROWING}),
    Case({"ConnectionsNearLimit"}, {("pg_connections", 2): flat(81), ("pg_connections_max", 2): flat(100)}),
    Case({"OldTransaction"}, {("pg_transactions_oldest_seconds", 1): flat(3601)}),
    Case({"PreparedTransactionForgotten"}, {("pg_transactions_prepared_oldest_seconds", 1): flat(3601)}),
    Case({"SessionsWaitForLocks"}, {("pg_connections_waiting_for_lock", 1): flat(11)}),
    Case({"Deadlocks"}, {("pg_deadlocks_total", 1): GROWING}),
    Case({"CacheHitsLow"}, {("pg_cache_misses_total", 1): f"0+100000x{MINUTES}"}),
    Case({"LoginsRefused"}, added={(REQUESTS, 'endpoint="/api/v2/login/",status="401"', 1): f"0+60x{MINUTES}"}),
    # Health checks are told of an outage by 500.
    Case(set(), added={(REQUESTS, 'endpoint="/api/v2/health/",status="500"', 1): f"0+60x{MINUTES}"}),
    Case({"RequestsFail"}, added={(REQUESTS, 'endpoint="/api/v2/nodes/",status="500"', 1): f"0+60x{MINUTES}"}),
    Case({"ProblemCritical"}, added={("rangeland_problems", 'kind="slot_lost",severity="critical"', 1): flat(1)}),
    Case({"ProblemWarning"}, added={("rangeland_problems", 'kind="slot_inactive",severity="warning"', 1): flat(2)}),
    Case(set(), added={("rangeland_problems", 'kind="index_unused",severity="info"', 1): flat(9)}),
)
# Just below each threshold: nobody is woken.
QUIET = Case(
    set(),
    {
        ("pg_replication_lag_bytes", 1): flat(9e8),
        ("pg_replication_lag_seconds", 2): flat(299),
        ("pg_wal_retained_bytes", 1): flat(9 * 1024**3),
        ("capacity", 1): flat(1e12),
        ("capacity_available", 1): flat(1.1e11),
        ("pg_xid_age", 1): flat(3.9e8),
        ("pg_connections", 2): flat(79),
        ("pg_connections_max", 2): flat(100),
        ("pg_transactions_oldest_seconds", 1): flat(3599),
        ("pg_connections_waiting_for_lock", 1): flat(10),
        ("pg_transactions_committed_total", 1): f"0+180x{MINUTES}",
        ("pg_transactions_rolled_back_total", 1): f"0+60x{MINUTES}",
        ("pg_cache_hits_total", 1): f"0+90x{MINUTES}",
        ("pg_cache_misses_total", 1): f"0+10x{MINUTES}",
    },
)
# What is recorded then, rounded.
RECORDED = {
    'max(100 * rangeland:disk_used:ratio{instance="n1"})': 89,
    'max(100 * rangeland:connections_used:ratio{instance="n2"})': 79,
    'max(rangeland:transactions:rate5m{instance="n1"})': 4,
    'max(100 * rangeland:transactions_rolled_back:ratio_rate5m{instance="n1"})': 25,
    'max(100 * rangeland:cache_hit:ratio_rate5m{instance="n1"})': 90,
    "max(rangeland:replication_lag_bytes:max)": 9e8,
}


def test_every_alert_has_its_case() -> None:
    assert {f"Rangeland{name}" for case in CASES for name in case.alerts} == {rule.alert for rule in ALERTS}


@needs_prometheus
def test_each_alert_fires_when_it_should_and_alone_and_recordings_are_right(
    apis: list[Api], rule_file: Path, tmp_path: Path
) -> None:
    healthy = scraped(apis)
    tests = [unit_test(case, healthy) for case in (*CASES, QUIET)]
    tests[-1]["promql_expr_test"] += [
        {"expr": f"round({expr})", "eval_time": "100m", "exp_samples": [{"labels": "{}", "value": value}]}
        for expr, value in RECORDED.items()
    ]
    whole = {"rule_files": [str(rule_file)], "evaluation_interval": "5m", "tests": tests}
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump(whole), "utf-8")
    assert "SUCCESS" in promtool("test", "rules", path)


def scraped(apis: list[Api]) -> Series:
    """Samples of every node that a rule asks for, constant for the whole time; the disk is half full wherever this
    runs.
    """
    used = " ".join(rule.expr for rule in (*RECORDING, *ALERTS))
    wait_until(lambda: all("\ncapacity_used{" in api.get("/metrics").text for api in apis), "sizes are read")
    found: Series = {}
    for number, api in enumerate(apis, start=1):
        samples = [
            each for family in text_string_to_metric_families(api.get("/metrics").text) for each in family.samples
        ]
        size = next(each.value for each in samples if each.name == "capacity")
        for each in samples:
            if each.name not in used:
                continue
            labels = ",".join(f'{name}="{value}"' for name, value in each.labels.items())
            value = size / 2 if each.name == "capacity_available" else each.value
            found[each.name, labels, f"n{number}"] = flat(value)
        found["up", "", f"n{number}"] = flat(1)
    return found


def unit_test(case: Case, healthy: Series) -> dict[str, Any]:
    """One of promtool's: which alerts fire after a hundred minutes."""
    series = dict(healthy)
    for (name, number), values in case.values.items():
        [key] = [each for each in series if (each[0], each[2]) == (name, f"n{number}")]
        series[key] = values
    for (name, labels, number), values in case.added.items():
        series[name, labels, f"n{number}"] = values
    for name, number in case.removed:
        series = {key: values for key, values in series.items() if (key[0], key[2]) != (name, f"n{number}")}
    return {
        "name": " ".join(sorted(case.alerts)) or "all is well",
        "interval": "1m",
        "input_series": [
            {
                "series": f'{name}{{{labels + "," if labels else ""}job="rangeland",instance="{instance}"}}',
                "values": values,
            }
            for (name, labels, instance), values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{MINUTES - 10}m",
                "exp_samples": [
                    {"labels": f'{{alertname="Rangeland{name}"}}', "value": 1} for name in sorted(case.alerts)
                ],
            }
        ],
    }


# The whole way.


@needs_prometheus
def test_a_prometheus_scrapes_every_node_over_tls_and_tells_who_died(
    cluster: Cluster, apis: list[Api], config: Path, tmp_path: Path
) -> None:
    with running_prometheus(at_once(config, tmp_path), tmp_path) as prometheus:
        wait_until(lambda: len(prometheus.query("rangeland_server_up == 1")) == 3, "all are scraped", timeout_s=30)
        assert len(prometheus.query("rangeland_server_primary == 1")) == 1
        assert {value for _, value in prometheus.query("rangeland_cluster_members")} == {3}
        wait_until(lambda: health_of_rules(prometheus) == {"ok"}, "every rule was evaluated", timeout_s=20)
        assert firing(prometheus, "NodeDown") == firing(prometheus, "ServerDown") == set()

        cluster.servers[1].kill()
        wait_until(lambda: firing(prometheus, "ServerDown") == {apis[1].host}, "its alert fires", timeout_s=30)
        cluster.servers[1].start()
        wait_until(lambda: firing(prometheus, "ServerDown") == set(), "it is over", timeout_s=30)

        cluster.nodes[2].kill()
        try:
            wait_until(lambda: firing(prometheus, "NodeDown") == {apis[2].host}, "its alert fires", timeout_s=30)
            assert firing(prometheus, "ServerDown") == set(), "its server is well"
            [told] = [
                each
                for each in prometheus.ask("alerts")["alerts"]
                if each["labels"]["alertname"].endswith("NodeDown")
            ]
            assert told["annotations"]["summary"] == f"Prometheus gets no answer from the node at {apis[2].host}"
            assert told["labels"]["severity"] == "critical"
        finally:
            cluster.nodes[2].start()
            cluster.nodes[2].wait_until_ready()
        wait_until(lambda: firing(prometheus, "NodeDown") == set(), "it is over", timeout_s=30)
        for each in prometheus.ask("alerts")["alerts"]:
            assert "error expanding" not in "".join(each["annotations"].values())


def health_of_rules(prometheus: Prometheus) -> set[str]:
    return {rule["health"] for group in prometheus.ask("rules")["groups"] for rule in group["rules"]}


def firing(prometheus: Prometheus, name: str) -> set[str]:
    """The instances for which the alert fires."""
    found = prometheus.query(f'ALERTS{{alertname="Rangeland{name}", alertstate="firing"}}')
    return {labels["instance"] for labels, _ in found}


# Without a server.


@pytest.mark.parametrize(("breaks", "mends"), [("kill", "start"), ("pause", "resume")])
def test_a_node_without_its_server_answers_in_time_with_what_it_knows(
    cluster: Cluster, apis: list[Api], breaks: str, mends: str
) -> None:
    server, api, node_id = cluster.servers[2], apis[2], cluster.nodes[2].node_id
    getattr(server, breaks)()
    try:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: api.get("/metrics"), range(8)))
        for answer in (*answers, api.get("/metrics")):
            assert answer.status == 200
            assert answer.elapsed_s < ANSWER_S
            assert f'rangeland_server_up{{node_id="{node_id}"}} 0.0' in answer.text
            assert f'rangeland_server_primary{{node_id="{node_id}"}} 0.0' in answer.text
            assert "\nsys_rss{" in answer.text
            assert "\npg_connections" not in answer.text
            assert "\nsql_conns" not in answer.text
    finally:
        getattr(server, mends)()
    wait_until(lambda: "\npg_connections{" in api.get("/metrics").text, "all is told again")


def test_a_silent_node_is_known_from_memory(cluster: Cluster, apis: list[Api]) -> None:
    """A scrape asks no other node, or it would wait for this one; who asked for all of them has noticed."""
    token = log_in(cluster, apis[0], cluster.username)
    line = f'rangeland_peer_silent{{node_id="{cluster.nodes[0].node_id}",peer="{cluster.nodes[2].node_id}"}}'
    cluster.nodes[2].pause()
    try:
        assert apis[0].get("/metrics").elapsed_s < PEER_TIMEOUT_S
        assert apis[0].get("sessions/", token).status == 200
        assert f"{line} 1.0" in apis[0].get("/metrics").text
    finally:
        cluster.nodes[2].resume()
    wait_until(lambda: f"{line} 0.0" in apis[0].get("/metrics").text, "it answers again", timeout_s=20)
