"""Queries of the dashboard and of the rules, by where they stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.deploy.programs import DEPLOY, documents

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
ALERTS = [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


QUERIES = list(queries())
