"""Prometheus itself scrapes a gateway under the rules of deploy/: each query there gets an answer."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
import yaml
from prometheus_client.metrics import MetricWrapperBase

from tests.deploy.programs import DEPLOY, documents, needs
from tests.deploy.queries import ALERTS, QUERIES, RULES
from tests.support import ask, bearer, chat, key_line, open_gateway, open_mock, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support import Client

# Seconds: a rate needs two scrapes.
SCRAPE = 0.5
_LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configured(target: str, folder: Path, *, keyed: bool) -> Path:
    """The configuration of deploy/ for that *target*, with the places of its files and a faster pace."""
    (config,) = documents(DEPLOY / "prometheus" / ("prometheus-keys.yml" if keyed else "prometheus.yml"))
    config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{int(SCRAPE * 1000)}ms")
    config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"][0]["targets"] = [target]
    if keyed:
        secret = folder / "metrics_key"
        secret.write_text("gw-prometheus")
        job["authorization"]["credentials_file"] = str(secret)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


class Prometheus:
    """A running Prometheus."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ready(self) -> bool:
        try:
            return (await self._client.get("/-/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def get(self, path: str, **params: str) -> Any:
        """The data of an answer, which must be a success."""
        answer = (await self._client.get(f"/api/v1/{path}", params=params)).json()
        assert answer["status"] == "success", (params, answer)
        return answer["data"]

    async def rules(self) -> dict[str, Any]:
        """The rules that are loaded, by their names."""
        groups = (await self.get("rules"))["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    async def has_judged(self) -> bool:
        """Each rule was evaluated."""
        rules = await self.rules()
        return bool(rules) and all(rule["health"] != "unknown" for rule in rules.values())

    async def query(self, query: str) -> list[Any]:
        """The series that *query* gives now."""
        if (values := _LABEL_VALUES.fullmatch(query)) is not None:
            name = values["label"]
            return list(await self.get(f"label/{name}/values", **{"match[]": values["series"]}))
        return list((await self.get("query", query=query))["result"])


async def holds(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until what *condition* asks for holds."""
    with trio.fail_after(20):
        while not await condition():  # noqa: ASYNC110  (another process has no event)
            await trio.sleep(0.05)


@asynccontextmanager
async def open_prometheus(client: Client, folder: Path, *, keyed: bool) -> AsyncIterator[Prometheus]:
    """Prometheus, once it has scraped the gateway of *client* often enough for a rate."""
    target = f"{client.base_url.host}:{client.base_url.port}"
    url = f"127.0.0.1:{free_port()}"
    process = await trio.lowlevel.open_process(
        [
            "prometheus",
            f"--config.file={configured(target, folder, keyed=keyed)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={url}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{url}", timeout=5, trust_env=False) as asking:
            prometheus = Prometheus(asking)
            await holds(prometheus.ready)
            await holds(partial(prometheus.query, 'count_over_time(up{job="reasoning-gateway"}[5m]) >= 3'))
            yield prometheus
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def touch(client: Client) -> None:
    """Have each metric show a series, also where only a fault that did not happen moves it, or a Redis."""
    client.app.gateway.metrics.watch_shared_state()
    for collector in list(client.app.gateway.metrics.registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase) and collector._labelnames and not collector._metrics:
            collector.labels(*collector._labelnames)


def operands(expression: str) -> list[str]:
    """The parts of an alert's *expression* between its comparisons, which have values while it is silent."""
    parts = re.split(r"\s(?:==|!=|[<>]=?)\s[\d.]+(?:\s(?:and|or)\s)?", f"{expression} ")
    return [part.strip() for part in parts if part.strip()]


def filled(query: str) -> str:
    """A query of the dashboard with what Grafana puts in the place of its variables."""
    return query.replace("$__rate_interval", "5m").replace("$instance", ".*")


def test_every_comparison_is_taken_apart() -> None:
    assert operands('a / b > 0.05 and c{d="e"} == 1') == ["a / b", 'c{d="e"}']
    for alert in ALERTS:
        assert not re.search(r"==|[<>]", " ".join(operands(alert["expr"])).replace("=~", "")), alert["alert"]


@pytest.mark.system
@needs("prometheus")
@pytest.mark.parametrize("keyed", [False, True], ids=["without keys", "with a key"])
async def test_every_query_of_the_dashboard_and_the_rules_gets_an_answer(keyed: bool, tmp_path: Path) -> None:
    keys = key_line("prometheus", "metrics") if keyed else None
    async with open_mock() as upstream, open_gateway(settings(UPSTREAM_URL=upstream, keys=keys)) as client:
        headers = bearer("prometheus") if keyed else {}
        for _ in range(2):
            assert (await ask(client, chat(), **headers)).finish_reasons == ["stop"]
        assert (
            await client.post("/v1/chat/completions", json=chat(n=99), headers=headers)
        ).status_code == 400
        failed = await ask(client, chat(model="fault-500"), **headers)
        assert failed.error is not None
        touch(client)
        async with open_prometheus(client, tmp_path, keyed=keyed) as prometheus:
            silent = [
                query for _, query in QUERIES[len(ALERTS) :] if not await prometheus.query(filled(query))
            ]
            assert silent == []
            asked = [part for alert in ALERTS for part in operands(alert["expr"])]
            assert len(asked) > len(ALERTS)
            assert [part for part in asked if not await prometheus.query(part)] == []
            await holds(prometheus.has_judged)
            rules = await prometheus.rules()
            assert rules.keys() == {alert["alert"] for alert in ALERTS}
            assert {rule["health"] for rule in rules.values()} == {"ok"}, RULES
            (target,) = (await prometheus.get("targets"))["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
