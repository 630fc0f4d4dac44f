"""The manifests for Kubernetes: valid by its schemas, strict, and true of this gateway."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cortex_pipelines.cli.run import run
from cortex_pipelines.cli.serving import serve
from cortex_pipelines.orchestration import recovery
from cortex_pipelines.serving.engines.engine import CACHE
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import CUT_OFF
from cortex_pipelines.serving.http.authentication import OPEN
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.security import keys
from cortex_pipelines.serving.telemetry import ENDPOINTS
from cortex_pipelines.versioning import root as roots
from cortex_pipelines_tests.command import cortex

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "deployment" / "kubernetes"
KUBECTL = shutil.which("kubectl")
VERSIONS = ("1.31", "1.37")
"""The oldest and the newest release that the manifests are held against."""
IMAGE = (ROOT / "Containerfile").read_text(encoding="utf-8")


@cache
def manifests() -> dict[tuple[str, str], Any]:
    resources = yaml.safe_load((FOLDER / "base" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert {*resources, "kustomization.yaml"} == {path.name for path in (FOLDER / "base").glob("*.yaml")}
    texts = [(FOLDER / "base" / name).read_text(encoding="utf-8") for name in resources]
    objects = [manifest for text in texts for manifest in yaml.safe_load_all(text)]
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}


def built(folder: str) -> dict[tuple[str, str], Any]:
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    command = [KUBECTL, "kustomize", str(FOLDER / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in yaml.safe_load_all(text)}


def pod() -> Any:
    return manifests()["StatefulSet", "cortex-gateway"]["spec"]["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_and_no_field_is_misspelt(version: str) -> None:
    for manifest in manifests().values():
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("folder", ["base", "overlays/gpu"])
def test_what_kustomize_makes_is_valid_and_hangs_together(folder: str) -> None:
    objects = built(folder)
    assert objects.keys() == manifests().keys()
    for manifest in objects.values():
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
    gateway = objects["StatefulSet", "cortex-gateway"]["spec"]
    labels = gateway["template"]["metadata"]["labels"]
    assert labels
    selectors = [
        gateway["selector"]["matchLabels"],
        objects["PodDisruptionBudget", "cortex-gateway"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy", "cortex-gateway"]["spec"]["podSelector"]["matchLabels"],
        *(manifest["spec"]["selector"] for (kind, _), manifest in objects.items() if kind == "Service"),
    ]
    assert all(selector == labels for selector in selectors), "each selects the gateways"
    if "gpu" in folder:
        assert gateway["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_nodes_of_a_ray_cluster_are_valid_pods_and_its_workers_share_no_folder() -> None:
    (job,) = built("ray").values()
    cluster = job["spec"]["rayClusterSpec"]
    head, worker = cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]
    for template in (head, worker, job["spec"]["submitterPodTemplate"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, VERSIONS[-1], strict=True)
        assert template["spec"]["securityContext"]["runAsUser"] == 10001
        assert [each["image"] for each in template["spec"]["containers"]] == ["cortex-pipelines:ray"]
    claims = [[v["name"] for v in t["spec"]["volumes"] if "persistentVolumeClaim" in v] for t in (head, worker)]
    assert claims == [["project"], []]
    assert run.make_context("run", job["spec"]["entrypoint"].split()[2:]).params["backend"] == "ray"


def test_nothing_is_root_and_nothing_is_written_but_where_it_has_to_be() -> None:
    user = re.search(r"^USER (\d+)$", IMAGE, re.MULTILINE)
    assert pod()["securityContext"]["runAsUser"] == int(user[1]) > 0
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["automountServiceAccountToken"] is False
    security = container()["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    names = {volume["name"] for volume in pod()["volumes"]}
    claims = manifests()["StatefulSet", "cortex-gateway"]["spec"]["volumeClaimTemplates"]
    names |= {claim["metadata"]["name"] for claim in claims}
    assert {mount["name"] for mount in mounts.values()} == names
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    folders = {"/project/.cortex/serving", f"/project/{CACHE.parent}", "/project/.cortex/logs"}
    assert writable == {*folders, "/home/cortex", "/tmp"}
    assert {"cpu", "memory"} <= set(container()["resources"]["limits"])
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod()["volumes"] if "emptyDir" in volume)


def test_paths_and_ports_are_the_gateway_s(gateway: Gateway) -> None:
    routes = set(create_app(gateway).openapi()["paths"])
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        http_get = container()[probe]["httpGet"]
        assert http_get["path"] in OPEN & routes, "answered without a key"
        assert http_get["port"] in ports
    scraped = manifests()["StatefulSet", "cortex-gateway"]["spec"]["template"]["metadata"]
    assert scraped["annotations"]["prometheus.io/path"] in routes
    assert int(scraped["annotations"]["prometheus.io/port"]) == ports["http"]
    words = container()["args"]
    assert words[:2] == ["cortex", serve.name]
    options = {name: option for option in serve.params for name in option.opts}
    for word in words[2:]:
        name, _, value = word.partition("=")
        assert name in options
        assert not value or options[name].type.convert(value, None, None) is not None
    assert f"--port={ports['http']}" in words
    for (kind, _), manifest in manifests().items():
        if kind == "Service":
            assert [port["targetPort"] for port in manifest["spec"]["ports"]] == list(ports)
    assert pod()["terminationGracePeriodSeconds"] > CUT_OFF


def test_variables_and_names_exist() -> None:
    environment = {variable["name"]: variable["value"] for variable in container()["env"]}
    source = Path(roots.__file__).read_text(encoding="utf-8")
    assert environment.pop("CORTEX_ROOT") == "/project"
    assert '"CORTEX_ROOT"' in source
    assert environment == {"HOME": "/home/cortex"}
    scaled = manifests()["HorizontalPodAutoscaler", "cortex-gateway"]["spec"]["scaleTargetRef"]
    assert ("Service", manifests()[scaled["kind"], scaled["name"]]["spec"]["serviceName"]) in manifests()
    assert ("ServiceAccount", pod()["serviceAccountName"]) in manifests()
    (claim,) = filter(None, [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod()["volumes"]])
    assert ("PersistentVolumeClaim", claim) in manifests()
    guide = (ROOT / "docs" / "guides" / "kubernetes.md").read_text(encoding="utf-8")
    (secret,) = (volume["secret"]["secretName"] for volume in pod()["volumes"] if "secret" in volume)
    (config,) = (source["configMapRef"]["name"] for source in container()["envFrom"])
    assert f"create secret generic {secret} " in guide
    assert f".cortex/keys/{keys.FILE}" in guide
    assert f"create configmap {config} " in guide
    assert any(name in guide for name in ENDPOINTS)
    assert f"-k {FOLDER.relative_to(ROOT).as_posix()}/base" in guide


@pytest.mark.parametrize("writable", [True, False])
def test_a_project_that_is_mounted_read_only_is_not_cleaned_up(project: Path, monkeypatch, writable: bool) -> None:
    cleaned: list[Path] = []
    monkeypatch.setattr(recovery, "restore_settings", lambda root: cleaned.append(root) or [])
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and (writable or mode != os.W_OK))
    cortex("keys", "list")
    assert cleaned == ([project] if writable else [])
