"""Kubernetes manifests: valid for several versions, and true about the gateway."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.programs import DEPLOY, documents
from tests.support import key_line, settings
from trio_gateway import create_app
from trio_gateway.core.config.settings import ConfigError
from trio_gateway.version import __version__

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS = [each for name in FILES for each in documents(FOLDER / name)]
# Kinds that an operator defines, of which there is no schema.
FOREIGN = {"ServiceMonitor"}


def one(kind: str) -> dict[str, Any]:
    (found,) = [each for each in OBJECTS if each["kind"] == kind]
    return found


POD: dict[str, Any] = one("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
ENVIRONMENT = {each["name"]: each["value"] for each in CONTAINER["env"]}
CONFIG = one("ConfigMap")["data"]["gateway.toml"]


@pytest.mark.parametrize("version", ["1.29", "1.31", "1.33"])
@pytest.mark.parametrize(
    "manifest",
    [each for each in OBJECTS if each["kind"] not in FOREIGN],
    ids=lambda each: f"{each['kind']} {each['metadata']['name']}",
)
def test_the_schema_takes_it(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_all_are_applied_together() -> None:
    (listed,) = documents(FOLDER / "kustomization.yaml")
    assert sorted(listed["resources"]) == FILES


def test_whatever_selects_pods_selects_the_gateways() -> None:
    labels = POD["metadata"]["labels"].items()
    selectors = [
        one("Deployment")["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    monitor = one("ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= one("Service")["metadata"]["labels"].items()
    assert (
        one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]
        == one("Deployment")["metadata"]["name"]
    )
    ports = {port["name"] for port in one("Service")["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports


def test_the_secrets_that_are_named_are_there() -> None:
    secrets = {each["metadata"]["name"]: each["stringData"] for each in OBJECTS if each["kind"] == "Secret"}
    (endpoint,) = one("ServiceMonitor")["spec"]["endpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in secrets[credentials["name"]]
    volumes = {each["name"]: each for each in POD["spec"]["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in CONTAINER["volumeMounts"]}
    for path in (value for name, value in ENVIRONMENT.items() if name.endswith("_FILE")):
        folder, _, name = path.rpartition("/")
        assert name in secrets[mounts[folder]["secret"]["secretName"]]
    folder, _, name = ENVIRONMENT["GATEWAY_CONFIG"].rpartition("/")
    assert mounts[folder]["configMap"]["name"] == one("ConfigMap")["metadata"]["name"]
    assert name in one("ConfigMap")["data"]


def test_probes_ask_paths_that_need_no_key() -> None:
    asked = {CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    app = create_app(settings())
    assert asked == {"/health/live", "/health/ready"}
    assert asked <= {rule.rule for rule in app.url_map.iter_rules()}
    assert {port["name"]: port["containerPort"] for port in CONTAINER["ports"]} == {
        "http": int(ENVIRONMENT["PORT"])
    }


def test_a_pod_has_the_time_to_finish_its_answers() -> None:
    _, seconds = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    graceful = settings(CONFIG).config.server.graceful_timeout
    assert POD["spec"]["terminationGracePeriodSeconds"] > float(seconds) + graceful


def test_the_container_has_no_more_than_it_needs() -> None:
    assert CONTAINER["image"].endswith(f":{__version__}")
    assert POD["spec"]["securityContext"]["runAsUser"] == 10001
    assert not POD["spec"]["automountServiceAccountToken"]
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_gateway_does_not_start_with_the_placeholder_for_keys() -> None:
    secret = next(each for each in OBJECTS if "keys.txt" in each.get("stringData", {}))
    with pytest.raises(ConfigError):
        settings(CONFIG, keys=secret["stringData"]["keys.txt"])
    assert settings(CONFIG, keys=key_line("alice")).client_keys
