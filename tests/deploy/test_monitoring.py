"""Dashboard, alerts and the page of metrics: what they name is in the registry, and what is there is explained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.deploy.programs import DEPLOY, ROOT, check, documents, needs
from tests.deploy.queries import ALERTS, QUERIES, RULES
from tests.metrics_page import PAGE, families, page

if TYPE_CHECKING:
    from pathlib import Path

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

LABELS = {series: set(each.labels) for each in families() for series in each.series}
# What Prometheus adds to every series, and to the buckets of a histogram.
ADDED = {"instance", "job", "le"}
LANGUAGE = {"sum", "min", "max", "rate", "histogram_quantile", "label_values", "vector"}
LANGUAGE |= {"by", "and", "or", "instance"}


def names_of(query: str) -> set[str]:
    """The names of series in *query*: words that are neither in quotes, nor labels, nor of the language."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)', " ", re.sub(r'"[^"]*"', '""', query))
    return set(re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*", bare)) - LANGUAGE


def labels_of(query: str) -> set[str]:
    """The labels that *query* selects or groups by."""
    inside = " ".join(re.findall(r"\{([^}]*)\}", re.sub(r'"[^"]*"', '""', query)))
    grouped = ",".join(re.findall(r"\bby \(([^)]*)\)", query))
    return set(re.findall(r"\w+(?==|!)", inside)) | {each.strip() for each in grouped.split(",") if each}


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=lambda text: text[:30])
def test_what_a_query_names_is_in_the_registry(where: str, query: str) -> None:
    names = names_of(query)
    assert names, where
    assert names <= {*LABELS, "up"}
    assert labels_of(query) <= ADDED.union(*(LABELS.get(name, set()) for name in names))


@pytest.mark.parametrize(
    "query",
    [
        "sum(rate(gateway_request_total[5m]))",
        "upp == 0",
        'up{jbo="x"}',
        "sum by (modle) (gateway_active_streams)",
    ],
)
def test_a_slip_in_a_query_is_seen(query: str) -> None:
    names = names_of(query)
    known = names <= {*LABELS, "up"}
    assert not (known and labels_of(query) <= ADDED.union(*(LABELS.get(name, set()) for name in names)))


# What dashboards of users may rely on: these names, with these labels.
PROMISED = {
    "gen_ai_server_time_to_first_token_seconds": (),
    "gen_ai_server_time_per_output_token_seconds": (),
    "gateway_requests_total": ("model", "outcome"),
    "gateway_tokens_total": ("model", "type"),
    "gateway_phase_seconds": ("phase",),
    "gateway_attempts_total": ("upstream",),
    "gateway_failovers_total": ("phase",),
    "gateway_upstream_errors_total": ("upstream", "class"),
    "gateway_breaker_state": ("upstream", "state"),
    "gateway_breaker_calls_total": ("upstream", "outcome"),
    "gateway_breaker_in_flight": ("upstream",),
    "gateway_client_disconnects_total": ("phase",),
    "gateway_summary_fallback_total": ("reason",),
    "gateway_active_streams": (),
    "gateway_event_loop_lag_seconds": (),
    "gateway_redis_up": (),
    "gateway_refused_total": ("reason",),
    "gateway_bodies_bytes": (),
    "gateway_held_bytes": (),
}


def test_the_promised_metrics_are_there_with_their_labels() -> None:
    there = {each.name: each.labels for each in families()}
    assert {name: there.get(name) for name in PROMISED} == PROMISED


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*(names_of(query) for _, query in QUERIES))
    assert [each.name for each in families() if not each.series & shown] == []


def test_the_page_of_metrics_is_that_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.metrics_page writes it anew"


def test_every_metric_and_alert_is_explained() -> None:
    assert [each.name for each in families() if f"`{each.name}`" not in OPERATIONS] == []
    for alert in ALERTS:
        assert f"\n#### {alert['alert']}\n" in OPERATIONS
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
    named = set(re.findall(r"^#### (Gateway\w+)$", OPERATIONS, re.MULTILINE))
    assert named == {alert["alert"] for alert in ALERTS}
    counted = set(re.findall(r"`((?:gateway|gen_ai)_\w+)`", OPERATIONS))
    assert counted <= {each.name for each in families()} | set(LABELS)


def test_what_compose_gives_prometheus_is_in_its_folder() -> None:
    for name in ("prometheus.yml", "prometheus-keys.yml"):
        (config,) = documents(DEPLOY / "prometheus" / name)
        assert [(DEPLOY / "prometheus" / each).is_file() for each in config["rule_files"]] == [True]
        (job,) = config["scrape_configs"]
        assert f'job="{job["job_name"]}"' in RULES.read_text(encoding="utf-8")


@pytest.mark.system
@needs("promtool")
def test_promtool_takes_the_rules_and_they_fire_when_they_should() -> None:
    check("promtool", "check", "rules", RULES)
    check("promtool", "test", "rules", "alerts.test.yml", cwd=RULES.parent)
    check("promtool", "check", "config", "--syntax-only", RULES.parent / "prometheus.yml")
    check("promtool", "check", "config", "--syntax-only", RULES.parent / "prometheus-keys.yml")


@pytest.mark.system
@needs("promtool")
def test_promtool_takes_the_dashboards_queries(tmp_path: Path) -> None:
    filled = [
        query.replace("$__rate_interval", "5m").replace("$instance", ".*")
        for _, query in QUERIES
        if not query.startswith("label_values")
    ]
    rules = [{"record": f"dashboard:{number}", "expr": query} for number, query in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    check("promtool", "check", "rules", "--lint=none", path)
