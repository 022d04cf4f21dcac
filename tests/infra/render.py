"""What `kubectl kustomize` makes of infra/: by kubectl where it is installed, else by the part of kustomize used there.

The small renderer knows resources, components, JSON patches, `$patch: delete`, replacements of whole fields, labels,
images, namespace and generated ConfigMaps. A test holds it against kubectl.
"""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
KNOWN = {
    "apiVersion", "kind", "resources", "components", "patches", "replacements", "labels", "images", "namespace",
    "configMapGenerator",
}  # fmt: skip
Manifest = dict[str, Any]


def rendered(folder: Path) -> list[Manifest]:
    """Every object of the kustomization in `folder`."""
    kubectl = shutil.which("kubectl")
    return by_kubectl(kubectl, folder) if kubectl else by_ourselves(folder)


def by_kubectl(kubectl: str, folder: Path) -> list[Manifest]:
    done = subprocess.run([kubectl, "kustomize", str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def by_ourselves(folder: Path) -> list[Manifest]:
    found: list[Manifest] = []
    _add(folder, found)
    return found


def named(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of that kind (and name)."""
    (found,) = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    return found


def cluster_of(manifest: Manifest) -> Manifest | None:
    """The cluster that an object describes, or None."""
    spec = manifest.get("spec", {})
    where = {"RayCluster": spec, "RayJob": spec.get("rayClusterSpec")}
    if manifest["kind"] == "RayCronJob":
        return spec["jobTemplate"].get("rayClusterSpec")  # type: ignore[no-any-return]
    return where.get(manifest["kind"])


def _add(folder: Path, found: list[Manifest]) -> None:
    spec = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(spec) <= KNOWN, f"{folder}: the small renderer does not know {set(spec) - KNOWN}"
    own: list[Manifest] = found if spec["kind"] == "Component" else []
    for name in spec.get("resources", []):
        if (folder / name).is_dir():
            _add((folder / name).resolve(), own)
        else:
            own += yaml.safe_load_all((folder / name).read_text())
    for name in spec.get("components", []):
        _add((folder / name).resolve(), own)
    for generator in spec.get("configMapGenerator", []):
        _generate(folder, generator, own)
    for patch in spec.get("patches", []):
        _patch(patch, own)
    for manifest in own:
        if "namespace" in spec:
            manifest["metadata"]["namespace"] = spec["namespace"]
        for label in spec.get("labels", []):
            manifest["metadata"].setdefault("labels", {}).update(label["pairs"])
        for image in spec.get("images", []):
            _image(manifest, image)
    for replacement in spec.get("replacements", []):
        _replace(replacement, own)
    if own is not found:
        found += own


def _generate(folder: Path, generator: Manifest, own: list[Manifest]) -> None:
    data = {Path(file).name: (folder / file).read_text() for file in generator["files"]}
    if generator.get("behavior") == "merge":
        named(own, "ConfigMap", generator["name"])["data"].update(data)
        return
    metadata = {"name": generator["name"], "labels": generator["options"].get("labels", {})}
    own.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(patch: Manifest, own: list[Manifest]) -> None:
    target = patch["target"]
    chosen = [
        m for m in own
        if re.fullmatch(target["kind"], m["kind"]) and target.get("name") in (None, m["metadata"]["name"])
        and m["apiVersion"].startswith(target.get("group", ""))
    ]  # fmt: skip
    assert chosen, f"no object for {target}"
    operations = yaml.safe_load(patch["patch"])
    for manifest in chosen:
        if isinstance(operations, dict):
            assert operations["$patch"] == "delete"
            own.remove(manifest)
            continue
        for operation in operations:
            _operate(manifest, operation)


def _operate(manifest: Manifest, operation: Manifest) -> None:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    at: Any = manifest
    for part in path:
        at = at[int(part)] if isinstance(at, list) else at[part]
    value = copy.deepcopy(operation.get("value"))
    if isinstance(at, list):
        place = len(at) if last == "-" else int(last)
        at[place : place if operation["op"] == "add" else place + 1] = [] if operation["op"] == "remove" else [value]
    elif operation["op"] == "remove":
        del at[last]
    else:
        assert operation["op"] == "add" or last in at, f"{operation['path']}: nothing there to replace"
        at[last] = value


def _replace(replacement: Manifest, own: list[Manifest]) -> None:
    source = replacement["source"]
    value = named(own, source["kind"], source["name"])[source["fieldPath"]]
    for target in replacement["targets"]:
        for manifest in (m for m in own if m["kind"] == target["select"]["kind"]):
            for path in target["fieldPaths"]:
                _operate(manifest, {"op": "add", "path": "/" + path.replace(".", "/"), "value": value})


def _image(at: Any, image: Manifest) -> None:
    if isinstance(at, dict) and at.get("image", "").partition(":")[0] == image["name"]:
        at["image"] = f"{image['newName']}:{image['newTag']}"
    for value in at.values() if isinstance(at, dict) else at if isinstance(at, list) else ():
        _image(value, image)


def pods_of(manifests: list[Manifest]) -> list[Manifest]:
    """The pods of every cluster that is described."""
    clusters = [cluster for manifest in manifests if (cluster := cluster_of(manifest)) is not None]
    groups = [group for cluster in clusters for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [group["template"]["spec"] for group in groups]
