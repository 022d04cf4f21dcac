"""All that infra/ renders to: of KubeRay's schemas and rules, without secrets, and as the design promises."""

import copy
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra import operator_rules, schemas
from tests.infra.render import INFRA, Manifest, by_kubectl, by_ourselves, cluster_of, named, rendered

OVERLAYS = ["eks", "gke", "kind"]
# Options that are not on by default: components in their place among those of the overlay.
OPTIONS = {
    "queued": ["../../overlays/eks/platform", "../../components/kueue", "../../components/one-cluster"],
    "redis": ["../../overlays/gke/platform", "../../components/one-cluster", "../../components/gcs-redis"],
}
# Maps whose keys are anybody's.
FREE = ("labels", "rayStartParams", "resources", "limits", "requests", "data", "nodeSelector", "annotations")


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of infra/ with an overlay for every option."""
    copied = tmp_path_factory.mktemp("copy") / "infra"
    shutil.copytree(INFRA, copied)
    for name, components in OPTIONS.items():
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["../../base"], "components": components,
        }  # fmt: skip
        (copied / "overlays" / name).mkdir()
        (copied / "overlays" / name / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return copied


@pytest.fixture(scope="module")
def everything(infra: Path) -> dict[str, list[Manifest]]:
    folders = {"base": infra / "base", **{name: infra / "overlays" / name for name in [*OVERLAYS, *OPTIONS]}}
    return {name: rendered(folder) for name, folder in folders.items()}


def clusters(everything: dict[str, list[Manifest]]) -> Iterator[tuple[str, Manifest]]:
    for overlay, manifests in everything.items():
        for manifest in manifests:
            if (cluster := cluster_of(manifest)) is not None:
                yield f"{overlay}: {manifest['kind']} {manifest['metadata']['name']}", cluster


def pods(everything: dict[str, list[Manifest]]) -> Iterator[tuple[str, str, Manifest]]:
    for where, cluster in clusters(everything):
        yield where, "head", cluster["headGroupSpec"]["template"]["spec"]
        for group in cluster["workerGroupSpecs"]:
            yield f"{where} {group['groupName']}", "worker", group["template"]["spec"]


def maps(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every mapping in `value` whose keys mean something to Kubernetes, and where it is."""
    if isinstance(value, dict):
        if not (path and path[-1] in FREE):
            yield path, value
        for key, inner in value.items():
            yield from maps(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from maps(inner, (*path, number))


def test_all_is_what_kuberay_takes(everything: dict[str, list[Manifest]]) -> None:
    found = {
        f"{overlay} {manifest['kind']} {manifest['metadata']['name']}": faults
        for overlay, manifests in everything.items()
        for manifest in manifests
        if (faults := schemas.faults(manifest) + operator_rules.faults(manifest))
    }
    assert found == {}


def test_every_overlay_has_its_kinds(everything: dict[str, list[Manifest]]) -> None:
    kinds = {overlay: sorted(m["kind"] for m in manifests) for overlay, manifests in everything.items()}
    whole = ["ConfigMap", "RayCluster", "RayCronJob", "RayJob", "RayJob", "ServiceAccount"]
    assert kinds.pop("kind") == sorted([*whole[:3], "RayJob", "ServiceAccount", "Deployment", "Service"])
    assert all(found == whole for found in kinds.values())


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob", "RayCronJob", "Deployment", "Service"])
def test_a_wrong_field_anywhere_is_found(everything: dict[str, list[Manifest]], kind: str) -> None:
    name = "headrace-web" if kind == "RayJob" else None
    manifest = named(everything["kind" if kind in ("Deployment", "Service") else "eks"], kind, name)
    missed = []
    for path, there in maps(manifest):
        for key in there.keys() - ({"apiVersion", "kind"} if path == () else set()):
            wrong = copy.deepcopy(manifest)
            at: Any = wrong
            for part in path:
                at = at[part]
            at[f"{key}x"] = at.pop(key)
            if path[-1:] != ("metadata",) and path[-1:] != ("matchLabels",) and not schemas.faults(wrong):
                missed.append((*path, key))
        if kind == "RayCronJob" and len(path) > 6:  # the rest is a RayJob's
            break
    assert [path for path in missed if path != ("spec", "selector", "app")] == []


def test_a_wrong_type_is_found(everything: dict[str, list[Manifest]]) -> None:
    job = named(everything["eks"], "RayJob", "headrace-web")
    job = copy.deepcopy(job)
    job["spec"]["backoffLimit"] = "three"
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "tokens"
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["resources"]["CPU"] = 0
    del job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]
    assert sorted(fault.partition(":")[0] for fault in schemas.faults(job)) == [
        "$.spec.backoffLimit",
        "$.spec.rayClusterSpec.authOptions.mode",
        "$.spec.rayClusterSpec.headGroupSpec.resources.CPU",
        "$.spec.rayClusterSpec.workerGroupSpecs[0]",
    ]


def test_the_small_renderer_is_kustomize(infra: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not here")

    def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
        return {(m["kind"], m["metadata"]["name"]): m for m in manifests}

    for folder in ("base", *(f"overlays/{name}" for name in [*OVERLAYS, *OPTIONS])):
        assert by_name(by_ourselves(infra / folder)) == by_name(by_kubectl(kubectl, infra / folder)), folder


def test_jobs_run_on_the_cluster_that_is_described_once(everything: dict[str, list[Manifest]]) -> None:
    for overlay in ("base", *OVERLAYS, "queued"):
        described = named(everything[overlay], "RayCluster")["spec"]
        for manifest in everything[overlay]:
            cluster = copy.deepcopy(cluster_of(manifest))
            if cluster is None:
                continue
            if manifest["metadata"]["name"] == "headrace-refine":
                gpu = cluster["workerGroupSpecs"][1]
                assert (gpu["replicas"], gpu["minReplicas"]) == (1, 1)
                gpu.update(replicas=0, minReplicas=0)
            assert cluster == described, (overlay, manifest["metadata"]["name"])


def test_no_work_on_the_head_and_a_token_for_everybody(everything: dict[str, list[Manifest]]) -> None:
    for where, cluster in clusters(everything):
        assert cluster["headGroupSpec"]["resources"] == {"CPU": "0"}, where
        assert cluster["authOptions"] == {"mode": "token"}, where
        if not where.startswith("queued"):
            assert (cluster["enableInTreeAutoscaling"], cluster["autoscalerOptions"]["version"]) == (True, "v2"), where


def test_ray_is_the_pinned_one(everything: dict[str, list[Manifest]]) -> None:
    pins = dict(
        line.strip().split("==") for line in (INFRA.parent / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert {cluster["rayVersion"] for _, cluster in clusters(everything)} == {pins["ray"]}


def test_pods_are_drained_before_they_are_killed(everything: dict[str, list[Manifest]]) -> None:
    for where, role, pod in pods(everything):
        container = pod["containers"][0]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command == ["python", "/opt/headrace/prestop.py", role], where
        grace = next(int(entry["value"]) for entry in container["env"] if entry["name"] == "HEADRACE_GRACE_S")
        assert grace < pod["terminationGracePeriodSeconds"], where


def test_pods_have_no_rights_that_they_do_not_need(everything: dict[str, list[Manifest]]) -> None:
    for where, role, pod in pods(everything):
        assert pod["securityContext"]["runAsNonRoot"], where
        assert pod["securityContext"]["runAsUser"] == 1000, where
        rights = pod["containers"][0]["securityContext"]
        assert rights == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, where
        # The autoscaler beside the head talks to Kubernetes; workers have nothing to say to it.
        assert role == "head" or pod["automountServiceAccountToken"] is False, where


def test_spot_nodes_are_for_workers_only(everything: dict[str, list[Manifest]]) -> None:
    for overlay, label in (("eks", "eks.amazonaws.com/capacityType"), ("gke", "cloud.google.com/gke-spot")):
        for where, cluster in clusters({overlay: everything[overlay]}):
            head = cluster["headGroupSpec"]["template"]["spec"]
            assert "tolerations" not in head, where
            assert (label in head.get("nodeSelector", {})) or "DoesNotExist" in str(head["affinity"]), where
            assert cluster["headGroupSpec"]["labels"]["ray.io/market-type"] == "on-demand", where
            for group in cluster["workerGroupSpecs"]:
                pod = group["template"]["spec"]
                assert group["labels"]["ray.io/market-type"] == "spot", where
                assert label in pod["nodeSelector"], where
                assert any("spot" in toleration["key"] for toleration in pod["tolerations"]), where
                gpu = any(toleration["key"] == "nvidia.com/gpu" for toleration in pod["tolerations"])
                assert gpu == (group["groupName"] == "gpu"), where


def test_queued_runs_wait_and_take_all_at_once(everything: dict[str, list[Manifest]]) -> None:
    for manifest in everything["queued"]:
        if manifest["kind"] in ("RayJob", "RayCluster"):
            assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "headrace"
        if manifest["kind"] == "RayJob":
            assert manifest["spec"]["suspend"] is True
        if (cluster := cluster_of(manifest)) is not None:
            assert cluster["enableInTreeAutoscaling"] is False


def test_images_are_set_in_one_place(everything: dict[str, list[Manifest]]) -> None:
    for overlay in OVERLAYS:
        images = {pod["containers"][0]["image"] for _, _, pod in pods({overlay: everything[overlay]})}
        assert all(re.search(r"headrace-(cpu|gpu):\d", image) for image in images), overlay
        assert len(images) == (1 if overlay == "kind" else 2), overlay


def test_secrets_are_there_by_reference_only(everything: dict[str, list[Manifest]]) -> None:
    secret = re.compile(r"(?i)(secret|password|token|_key)")
    for overlay, manifests in everything.items():
        assert "Secret" not in {manifest["kind"] for manifest in manifests}, overlay
        for manifest in manifests:
            for path, there in maps(manifest):
                if "name" in there and "value" in there:
                    assert not secret.search(there["name"]), (overlay, path)
                for key, value in there.items():
                    assert not (isinstance(value, str) and re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN", value)), (
                        path,
                        key,
                    )


def test_retries_are_new_clusters_that_are_taken_down(everything: dict[str, list[Manifest]]) -> None:
    for overlay, manifests in everything.items():
        for manifest in manifests:
            job = manifest["spec"]["jobTemplate"] if manifest["kind"] == "RayCronJob" else manifest.get("spec", {})
            if manifest["kind"] in ("RayJob", "RayCronJob"):
                assert job["backoffLimit"] >= 3, overlay
                assert job["shutdownAfterJobFinishes"] is True, overlay
                assert job["submissionMode"] == "SidecarMode", overlay
                assert "--fresh" not in job["entrypoint"], overlay  # a retry would begin again
