"""infra/ against KubeRay's own schemas: every field known, every value of its type."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
CRDS = Path(__file__).resolve().parents[3] / "shared" / "crds"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Unknown fields, which Kubernetes prunes in silence, are faults; int-or-string is either."""
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


def faults(manifest: dict[str, Any]) -> list[str]:
    if not CRDS.is_dir():
        pytest.skip("KubeRay's schemas are not here")
    crd = yaml.load((CRDS / f"ray.io_{manifest['kind'].lower()}s.yaml").read_text(), yaml.CSafeLoader)
    version = next(v for v in crd["spec"]["versions"] if manifest["apiVersion"].endswith(v["name"]))
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    validator = jsonschema.Draft7Validator(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(manifest)]


def test_rayjob_is_what_kuberay_takes() -> None:
    assert faults(yaml.safe_load((INFRA / "rayjob.yaml").read_text())) == []


def test_wrong_field_is_found() -> None:
    manifest = yaml.safe_load((INFRA / "rayjob.yaml").read_text())
    manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 5
    manifest["spec"]["backoffLimit"] = "three"
    assert sorted(fault.partition(":")[0] for fault in faults(manifest)) == [
        "$.spec.backoffLimit",
        "$.spec.rayClusterSpec.workerGroupSpecs[0]",
    ]
