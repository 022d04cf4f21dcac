"""KubeRay's own schemas, made strict: Kubernetes prunes an unknown field in silence, here it is a fault.

Pods and Services of other kinds are checked by the schemas that KubeRay's have of them.
"""

import functools
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CRDS = Path(__file__).resolve().parents[3] / "shared" / "crds"
METADATA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        **{key: {"type": "object", "additionalProperties": {"type": "string"}} for key in ("labels", "annotations")},
    },
}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# Fields of the small kinds by name: what is beside apiVersion, kind and metadata.
SMALL: dict[str, dict[str, Any]] = {
    "ServiceAccount": {"automountServiceAccountToken": {"type": "boolean"}, "imagePullSecrets": {"type": "array"}},
    "ConfigMap": {"data": TEXTS, "binaryData": TEXTS, "immutable": {"type": "boolean"}},
}
VERSIONS = {"ServiceAccount": "v1", "ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1"}


def faults(manifest: dict[str, Any]) -> list[str]:
    """What the API server would not take, or would throw away."""
    kind = manifest["kind"]
    if VERSIONS.get(kind, manifest["apiVersion"]) != manifest["apiVersion"]:
        return [f"$.apiVersion: {kind} is of {VERSIONS[kind]}, found {manifest['apiVersion']}"]
    validator = jsonschema.Draft7Validator(schema_of(kind, manifest["apiVersion"].rpartition("/")[2]))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(manifest)]


@functools.cache
def schema_of(kind: str, version: str) -> dict[str, Any]:
    if kind in SMALL:
        return _object(SMALL[kind])
    if kind == "Service":
        head = crd("RayCluster", "v1")["properties"]["spec"]["properties"]["headGroupSpec"]["properties"]
        return _object({"spec": strict(head["headService"]["properties"]["spec"])})
    if kind == "Deployment":
        groups = crd("RayCluster", "v1")["properties"]["spec"]["properties"]["workerGroupSpecs"]
        spec = {
            "replicas": {"type": "integer"},
            "selector": {"type": "object", "required": ["matchLabels"], "properties": {"matchLabels": TEXTS}},
            "template": strict(groups["items"]["properties"]["template"]),
        }
        need = ["selector", "template"]
        return _object(
            {"spec": {"type": "object", "required": need, "additionalProperties": False, "properties": spec}}
        )
    schema = strict(crd(kind, version))
    schema["properties"]["metadata"] = METADATA
    return schema


@functools.cache
def crd(kind: str, version: str) -> dict[str, Any]:
    """The schema of a kind of Ray's."""
    if not CRDS.is_dir():
        pytest.skip("KubeRay's schemas are not here")
    definition = yaml.load((CRDS / f"ray.io_{kind.lower()}s.yaml").read_text(), yaml.CSafeLoader)
    found = next(v for v in definition["spec"]["versions"] if v["name"] == version)
    return found["schema"]["openAPIV3Schema"]  # type: ignore[no-any-return]


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Unknown fields are faults; int-or-string is either."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    out = dict(schema)
    if "properties" in schema:
        out["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            out.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = strict(out[key])
    return out


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA, **fields}
    return {"type": "object", "required": ["metadata"], "additionalProperties": False, "properties": properties}
