"""What KubeRay 1.7.0's operator refuses although its schemas allow it: rules between fields, gates, lengths of names.

After its validation of RayCluster, RayJob and RayCronJob, with the feature gates at their defaults:
RayJobDeletionPolicy on, the rest off. `faults` names each broken rule by the key that `RULES` explains.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

RULES = {
    "cluster-name": "a RayCluster's name has at most 53 characters and is a DNS label that begins with a letter",
    "job-name": "a RayJob's name has at most 47 characters and is a DNS label that begins with a letter",
    "cron-name": "a RayCronJob's name has at most 36 characters",
    "suspend-shutdown": "suspend needs shutdownAfterJobFinishes",
    "suspend-selector": "suspend does not go with clusterSelector",
    "ttl-shutdown": "ttlSecondsAfterFinished needs shutdownAfterJobFinishes",
    "ttl-negative": "ttlSecondsAfterFinished is not negative",
    "cluster-or-selector": "a RayJob has a rayClusterSpec or a clusterSelector",
    "selector-name": "clusterSelector names the cluster",
    "selector-sidecar": "clusterSelector does not go with SidecarMode",
    "selector-backoff": "clusterSelector does not go with backoffLimit",
    "interactive-backoff": "InteractiveMode does not go with backoffLimit",
    "mode": "submissionMode is one of four; the schema has no list of them",
    "sidecar-template": "SidecarMode has no submitterPodTemplate",
    "sidecar-config": "SidecarMode has no submitterConfig",
    "sidecar-restart": "SidecarMode: the head's restartPolicy is Never or left out",
    "backoff-negative": "backoffLimit is not negative",
    "deadline": "activeDeadlineSeconds and preRunningDeadlineSeconds are positive",
    "runtime-env": "runtimeEnvYAML is a YAML mapping",
    "deletion-empty": "deletionStrategy has deletionRules, or both onSuccess and onFailure",
    "deletion-shutdown": "deletionRules do not go with shutdownAfterJobFinishes",
    "deletion-legacy": "deletionRules do not go with onSuccess and onFailure",
    "deletion-workers": "DeleteWorkers does not go with the autoscaler",
    "deletion-condition": "a deletion rule has exactly one condition, and no negative time",
    "deletion-twice": "a deletion rule is there once",
    "deletion-order": "workers are deleted no later than the cluster, and that no later than the RayJob",
    "k8s-token-job": "enableK8sTokenAuth is for RayClusters only",
    "containers": "every group has a container",
    "resources-twice": "resources are given in `resources` or in rayStartParams, not in both",
    "labels-params": "labels are given in `labels`, not in rayStartParams",
    "label-syntax": "labels have the syntax of Kubernetes' labels",
    "replicas-both": "without the autoscaler a group has minReplicas and maxReplicas",
    "replicas-order": "minReplicas is at most maxReplicas, and neither is negative",
    "idle-v2": "a group's idleTimeoutSeconds needs the autoscaler v2, and is not negative",
    "priority-v2": "a group's priority needs the autoscaler v2 and Ray 2.56",
    "group-suspend": "a group is not suspended while the autoscaler is on",
    "v2-restart": "with the autoscaler v2 restartPolicy is Never or left out",
    "v2-twice": "the autoscaler's version is given in autoscalerOptions or in RAY_enable_autoscaler_v2, not in both",
    "v2-off": "RAY_enable_autoscaler_v2 needs enableInTreeAutoscaling",
    "idle-negative": "autoscalerOptions.idleTimeoutSeconds is not negative",
    "ft-twice": "fault tolerance is set by gcsFaultToleranceOptions or by annotations, not by both",
    "ft-env": "Redis is described in gcsFaultToleranceOptions, not in the head's environment or parameters",
    "ft-storage": "storage is for rocksdb, which needs the gate GCSFaultToleranceEmbeddedStorage",
    "token-version": "authOptions.mode token needs rayVersion 2.52 or later",
    "k8s-token": "enableK8sTokenAuth needs mode token, Ray 2.55, and no secretName",
    "gate": "networkPolicy, tlsOptions and historyServerOptions need feature gates",
    "upgrade": "upgradeStrategy of a RayCluster is Recreate or None, and a RayJob's cluster has none",
    "schedule": "schedule has five fields of cron and no time zone",
    "time-zone": "timeZone is not empty",
    # Ours, on top of the operator's.
    "auth-explicit": "authOptions.mode is said: left out, there is no authentication",
}
MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")
Spec = dict[str, Any]


def faults(manifest: Spec) -> list[str]:
    """Keys of the rules that `manifest` breaks."""
    kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec", {})
    found: set[str] = set()
    if kind == "RayCluster":
        found |= {"cluster-name"} if len(name) > 53 or not DNS1035.fullmatch(name) else set()
        found |= set(_cluster(spec, manifest["metadata"].get("annotations", {})))
        found |= (
            {"upgrade"} if spec.get("upgradeStrategy", {}).get("type", "None") not in ("Recreate", "None") else set()
        )
    elif kind == "RayJob":
        found |= {"job-name"} if len(name) > 47 or not DNS1035.fullmatch(name) else set()
        found |= set(_job(spec, manifest["metadata"].get("annotations", {})))
    elif kind == "RayCronJob":
        found |= {"cron-name"} if len(name) > 36 else set()
        found |= {"schedule"} if "TZ" in spec["schedule"] or len(spec["schedule"].split()) != 5 else set()
        found |= {"time-zone"} if spec.get("timeZone") == "" else set()
        found |= set(_job(spec["jobTemplate"], {}))
    assert found <= RULES.keys()
    return sorted(found)


def _job(job: Spec, annotations: Spec) -> Iterator[str]:
    cluster, selector, mode = job.get("rayClusterSpec"), job.get("clusterSelector"), job.get("submissionMode", MODES[0])
    backoff, shutdown = job.get("backoffLimit", 0), job.get("shutdownAfterJobFinishes", False)
    template = (cluster or {}).get("headGroupSpec", {}).get("template", {}).get("spec", {})
    broken = {
        "suspend-shutdown": job.get("suspend") and not shutdown,
        "suspend-selector": job.get("suspend") and selector,
        "ttl-shutdown": job.get("ttlSecondsAfterFinished", 0) > 0 and not shutdown,
        "ttl-negative": job.get("ttlSecondsAfterFinished", 0) < 0,
        "cluster-or-selector": cluster is None and not selector,
        "selector-name": selector and not selector.get("ray.io/cluster"),
        "selector-sidecar": selector and mode == "SidecarMode",
        "selector-backoff": selector and backoff > 0,
        "interactive-backoff": mode == "InteractiveMode" and backoff > 0,
        "mode": mode not in MODES,
        "sidecar-template": mode == "SidecarMode" and "submitterPodTemplate" in job,
        "sidecar-config": mode == "SidecarMode" and "submitterConfig" in job,
        "sidecar-restart": mode == "SidecarMode" and template.get("restartPolicy", "Never") != "Never",
        "backoff-negative": backoff < 0,
        "deadline": any(job.get(f"{which}DeadlineSeconds", 1) <= 0 for which in ("active", "preRunning")),
        "runtime-env": not isinstance(_yaml(job.get("runtimeEnvYAML", "{}")), dict),
        "k8s-token-job": (cluster or {}).get("authOptions", {}).get("enableK8sTokenAuth"),
        "upgrade": "upgradeStrategy" in (cluster or {}),
    }
    yield from (rule for rule, is_broken in broken.items() if is_broken)
    if "deletionStrategy" in job:
        yield from _deletion(job["deletionStrategy"], shutdown, bool((cluster or {}).get("enableInTreeAutoscaling")))
    if cluster is not None:
        yield from _cluster(cluster, annotations)


def _deletion(strategy: Spec, shutdown: bool, autoscaled: bool) -> Iterator[str]:
    rules, legacy = strategy.get("deletionRules", []), [strategy.get("onSuccess"), strategy.get("onFailure")]
    if rules:
        yield from ["deletion-shutdown"] * shutdown + ["deletion-legacy"] * any(legacy)
    elif not all(legacy):
        yield "deletion-empty"
    if autoscaled and any(rule["policy"] == "DeleteWorkers" for rule in [*rules, *filter(None, legacy)]):
        yield "deletion-workers"
    seconds: dict[str, dict[str, int]] = {}
    for rule in rules:
        condition = dict(rule["condition"])
        after = condition.pop("ttlSeconds", 0)
        if len(condition) != 1 or after < 0:
            yield "deletion-condition"
            continue
        times = seconds.setdefault(json.dumps(condition), {})
        if rule["policy"] in times:
            yield "deletion-twice"
        times[rule["policy"]] = after
    for times in seconds.values():
        ordered = [times[policy] for policy in ORDER if policy in times]
        if ordered != sorted(ordered):
            yield "deletion-order"


def _cluster(cluster: Spec, annotations: Spec) -> Iterator[str]:
    head, groups = cluster["headGroupSpec"], cluster.get("workerGroupSpecs", [])
    options, auth = cluster.get("autoscalerOptions", {}), cluster.get("authOptions", {})
    containers = head["template"]["spec"].get("containers", [])
    env = {entry["name"]: entry.get("value") for entry in containers[0].get("env", [])} if containers else {}
    autoscaled, v2 = cluster.get("enableInTreeAutoscaling", False), options.get("version") == "v2"
    v2_env = env.get("RAY_enable_autoscaler_v2") in ("1", "true")
    version = tuple(int(part) for part in cluster.get("rayVersion", "0.0").split(".")[:2])
    for group in (head, *groups):
        yield from _group(group)
    for group in groups:
        low, high = group.get("minReplicas", 0), group.get("maxReplicas", 1 << 31)
        broken = {
            "replicas-both": not autoscaled and not {"minReplicas", "maxReplicas"} <= group.keys(),
            "replicas-order": low > high or low < 0,
            "idle-v2": "idleTimeoutSeconds" in group and (group["idleTimeoutSeconds"] < 0 or not (v2 or v2_env)),
            "priority-v2": group.get("priority", 0) and (version < (2, 56) or not (v2 or v2_env)),
            "group-suspend": group.get("suspend") and autoscaled,
        }
        yield from (rule for rule, is_broken in broken.items() if is_broken)
    policies = [group["template"]["spec"].get("restartPolicy", "Never") for group in (head, *groups)]
    token = auth.get("mode") == "token"
    broken = {
        "v2-restart": autoscaled and v2 and any(policy != "Never" for policy in policies),
        "v2-twice": autoscaled and "version" in options and "RAY_enable_autoscaler_v2" in env,
        "v2-off": not autoscaled and v2_env,
        "idle-negative": options.get("idleTimeoutSeconds", 0) < 0,
        "token-version": token and version < (2, 52),
        "k8s-token": auth.get("enableK8sTokenAuth") and (not token or version < (2, 55) or auth.get("secretName")),
        "gate": {"networkPolicy", "tlsOptions", "historyServerOptions"} & cluster.keys(),
        "auth-explicit": "mode" not in auth,
    }
    yield from (rule for rule, is_broken in broken.items() if is_broken)
    yield from _fault_tolerance(cluster.get("gcsFaultToleranceOptions"), env, head["rayStartParams"], annotations)


def _group(group: Spec) -> Iterator[str]:
    parameters, labels = group.get("rayStartParams", {}), group.get("labels", {})
    if not group["template"]["spec"].get("containers"):
        yield "containers"
    if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & parameters.keys():
        yield "resources-twice"
    if "labels" in parameters:
        yield "labels-params"
    names = [key.rpartition("/")[2] for key in labels]
    if not all(names) or not all(len(t) <= 63 and LABEL.fullmatch(t) for t in [*names, *labels.values()]):
        yield "label-syntax"


def _fault_tolerance(options: Spec | None, env: Spec, parameters: Spec, annotations: Spec) -> Iterator[str]:
    annotated = annotations.get("ray.io/ft-enabled", "")
    broken = {
        "ft-twice": options is not None and (annotated or annotations.get("ray.io/external-storage-namespace")),
        "ft-env": ("RAY_REDIS_ADDRESS" in env and (options is not None or annotated != "true"))
        or (options is not None and ("REDIS_PASSWORD" in env or "redis-password" in parameters))
        or "REDIS_USERNAME" in env
        or "redis-username" in parameters,
        "ft-storage": options is not None and (options.get("backend") == "rocksdb" or "storage" in options),
    }
    yield from (rule for rule, is_broken in broken.items() if is_broken)


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
