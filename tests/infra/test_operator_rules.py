"""Every rule of the operator has a case that breaks it, and nothing of ours breaks one."""

import copy
from typing import Any

import pytest

from tests.infra.operator_rules import RULES, faults
from tests.infra.render import INFRA, named, rendered

POD: dict[str, Any] = {"spec": {"containers": [{"name": "ray", "image": "x"}]}}
CLUSTER: dict[str, Any] = {
    "rayVersion": "2.60.0",
    "authOptions": {"mode": "token"},
    "enableInTreeAutoscaling": True,
    "autoscalerOptions": {"version": "v2"},
    "headGroupSpec": {"rayStartParams": {}, "template": POD},
    "workerGroupSpecs": [
        {"groupName": "cpu", "minReplicas": 0, "maxReplicas": 1, "rayStartParams": {}, "template": POD}
    ],
}
JOB: dict[str, Any] = {"entrypoint": "true", "shutdownAfterJobFinishes": True, "rayClusterSpec": CLUSTER}
SPECS: dict[str, dict[str, Any]] = {
    "RayCluster": CLUSTER,
    "RayJob": JOB,
    "RayCronJob": {"schedule": "0 6 20 * *", "timeZone": "Etc/UTC", "jobTemplate": JOB},
}
CHART = "spec.rayClusterSpec."
HEAD, GROUP = "spec.headGroupSpec.", "spec.workerGroupSpecs.0."
ENV = HEAD + "template.spec.containers.0.env"
GONE = object()
SELECTOR = {"ray.io/cluster": "a"}
SUCCEEDED = {"jobStatus": "SUCCEEDED"}


def rule(policy: str, seconds: int = 0, **condition: str) -> dict[str, Any]:
    return {"policy": policy, "condition": {**(condition or SUCCEEDED), "ttlSeconds": seconds}}


# rule, kind, what is changed in a manifest that is right
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("cluster-name", "RayCluster", {"metadata.name": "a" * 54}),
    ("cluster-name", "RayCluster", {"metadata.name": "1a"}),
    ("job-name", "RayJob", {"metadata.name": "a" * 48}),
    ("cron-name", "RayCronJob", {"metadata.name": "a" * 37}),
    ("suspend-shutdown", "RayJob", {"spec.suspend": True, "spec.shutdownAfterJobFinishes": False}),
    ("suspend-selector", "RayJob", {"spec.suspend": True, "spec.clusterSelector": SELECTOR}),
    ("ttl-shutdown", "RayJob", {"spec.ttlSecondsAfterFinished": 5, "spec.shutdownAfterJobFinishes": False}),
    ("ttl-negative", "RayJob", {"spec.ttlSecondsAfterFinished": -1}),
    ("cluster-or-selector", "RayJob", {"spec.rayClusterSpec": GONE}),
    ("selector-name", "RayJob", {"spec.clusterSelector": {"app": "a"}}),
    ("selector-sidecar", "RayJob", {"spec.clusterSelector": SELECTOR, "spec.submissionMode": "SidecarMode"}),
    ("selector-backoff", "RayJob", {"spec.clusterSelector": SELECTOR, "spec.backoffLimit": 1}),
    ("interactive-backoff", "RayJob", {"spec.submissionMode": "InteractiveMode", "spec.backoffLimit": 1}),
    ("mode", "RayJob", {"spec.submissionMode": "SideCarMode"}),
    ("sidecar-template", "RayJob", {"spec.submissionMode": "SidecarMode", "spec.submitterPodTemplate": POD}),
    ("sidecar-config", "RayJob", {"spec.submissionMode": "SidecarMode", "spec.submitterConfig": {"backoffLimit": 1}}),
    (
        "sidecar-restart", "RayJob",
        {
            "spec.submissionMode": "SidecarMode", CHART + "autoscalerOptions.version": "v1",
            CHART + "headGroupSpec.template.spec.restartPolicy": "Always",
        },
    ),
    ("backoff-negative", "RayJob", {"spec.backoffLimit": -1}),
    ("deadline", "RayJob", {"spec.activeDeadlineSeconds": 0}),
    ("deadline", "RayJob", {"spec.preRunningDeadlineSeconds": -5}),
    ("runtime-env", "RayJob", {"spec.runtimeEnvYAML": "env_vars: {a: b"}),
    ("deletion-empty", "RayJob", {"spec.deletionStrategy": {}}),
    ("deletion-empty", "RayJob", {"spec.deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}}}),
    ("deletion-shutdown", "RayJob", {"spec.deletionStrategy": {"deletionRules": [rule("DeleteSelf")]}}),
    (
        "deletion-legacy", "RayJob",
        {
            "spec.shutdownAfterJobFinishes": False,
            "spec.deletionStrategy": {"deletionRules": [rule("DeleteSelf")], "onSuccess": {"policy": "DeleteSelf"}},
        },
    ),
    *(
        (name, "RayJob", {"spec.shutdownAfterJobFinishes": False, "spec.deletionStrategy": {"deletionRules": rules}})
        for name, rules in [
            ("deletion-workers", [rule("DeleteWorkers")]),
            ("deletion-condition", [rule("DeleteSelf", jobStatus="FAILED", jobDeploymentStatus="Failed")]),
            ("deletion-condition", [rule("DeleteSelf", -1)]),
            ("deletion-twice", [rule("DeleteSelf", 1), rule("DeleteSelf", 2)]),
            ("deletion-order", [rule("DeleteCluster", 9), rule("DeleteSelf", 5)]),
        ]
    ),
    ("k8s-token-job", "RayJob", {CHART + "authOptions.enableK8sTokenAuth": True}),
    ("containers", "RayCluster", {GROUP + "template.spec.containers": []}),
    ("resources-twice", "RayCluster", {HEAD + "resources": {"CPU": "0"}, HEAD + "rayStartParams": {"num-cpus": "0"}}),
    ("labels-params", "RayCluster", {GROUP + "rayStartParams": {"labels": "a=b"}}),
    ("label-syntax", "RayCluster", {GROUP + "labels": {"ray.io/market-type": "spot!"}}),
    ("replicas-both", "RayCluster", {"spec.enableInTreeAutoscaling": False, GROUP + "minReplicas": GONE}),
    ("replicas-order", "RayCluster", {GROUP + "minReplicas": 2}),
    ("idle-v2", "RayCluster", {GROUP + "idleTimeoutSeconds": 5, "spec.autoscalerOptions.version": "v1"}),
    ("priority-v2", "RayCluster", {GROUP + "priority": 5, "spec.rayVersion": "2.55.0"}),
    ("group-suspend", "RayCluster", {GROUP + "suspend": True}),
    ("v2-restart", "RayCluster", {GROUP + "template.spec.restartPolicy": "Always"}),
    ("v2-twice", "RayCluster", {ENV: [{"name": "RAY_enable_autoscaler_v2", "value": "0"}]}),
    (
        "v2-off", "RayCluster",
        {
            "spec.enableInTreeAutoscaling": False,
            ENV: [{"name": "RAY_enable_autoscaler_v2", "value": "1"}],
        },
    ),
    ("idle-negative", "RayCluster", {"spec.autoscalerOptions.idleTimeoutSeconds": -1}),
    (
        "ft-twice", "RayCluster",
        {"spec.gcsFaultToleranceOptions": {"redisAddress": "r"}, "metadata.annotations": {"ray.io/ft-enabled": "true"}},
    ),
    ("ft-env", "RayCluster", {ENV: [{"name": "RAY_REDIS_ADDRESS", "value": "r"}]}),
    ("ft-env", "RayCluster", {HEAD + "rayStartParams": {"redis-username": "u"}}),
    ("ft-storage", "RayCluster", {"spec.gcsFaultToleranceOptions": {"backend": "rocksdb"}}),
    ("ft-storage", "RayCluster", {"spec.gcsFaultToleranceOptions": {"storage": {"size": "1Gi"}}}),
    ("token-version", "RayCluster", {"spec.rayVersion": "2.51.0"}),
    ("token-version", "RayCluster", {"spec.rayVersion": GONE}),
    ("k8s-token", "RayCluster", {"spec.authOptions": {"mode": "disabled", "enableK8sTokenAuth": True}}),
    ("gate", "RayCluster", {"spec.networkPolicy": {"mode": "DenyAll"}}),
    ("upgrade", "RayCluster", {"spec.upgradeStrategy": {"type": "NewCluster"}}),
    ("upgrade", "RayJob", {CHART + "upgradeStrategy": {"type": "Recreate"}}),
    ("schedule", "RayCronJob", {"spec.schedule": "CRON_TZ=Etc/UTC 0 6 20 * *"}),
    ("schedule", "RayCronJob", {"spec.schedule": "0 6 20 *"}),
    ("time-zone", "RayCronJob", {"spec.timeZone": ""}),
    ("auth-explicit", "RayCluster", {"spec.authOptions": GONE}),
]  # fmt: skip


def changed(kind: str, changes: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = {"kind": kind, "metadata": {"name": "a"}, "spec": copy.deepcopy(SPECS[kind])}
    for path, value in changes.items():
        *parts, end = path.split(".")
        at: Any = manifest
        for part in parts:
            at = at[int(part)] if isinstance(at, list) else at[part]
        if value is GONE:
            del at[end]
        else:
            at[end] = value
    return manifest


@pytest.mark.parametrize("kind", SPECS)
def test_what_is_right_breaks_no_rule(kind: str) -> None:
    assert faults(changed(kind, {})) == []


@pytest.mark.parametrize(("broken", "kind", "changes"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_broken_rule_is_found(broken: str, kind: str, changes: dict[str, Any]) -> None:
    assert faults(changed(kind, changes)) == [broken]


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(RULES)


def test_template_of_a_cron_job_is_checked_like_a_job() -> None:
    assert faults(changed("RayCronJob", {"spec.jobTemplate.backoffLimit": -1})) == ["backoff-negative"]


def test_a_job_of_ours_that_is_changed_is_found() -> None:
    job = named(rendered(INFRA / "overlays" / "eks"), "RayJob", "headrace-web")
    assert faults(job) == []
    job["spec"]["shutdownAfterJobFinishes"] = False
    assert faults(job) == ["ttl-shutdown"]
