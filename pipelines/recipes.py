"""The recipes by name, and recipes written in YAML.

name: english-only
steps:
  - name: clean
    source: {stage: stages.read_warc.ReadWarc}
    stages:
      - {stage: stages.extract_text.ExtractText, engine: resiliparse}
      - stage: stages.language.Language
"""

import importlib
from pathlib import Path
from typing import Any

import yaml

from cluster.barrier import Moving, Shuffle
from cluster.errors import ConfigError
from cluster.recipe import Recipe, Step, build
from pipelines import plain_yaml
from schemas import credentials
from schemas.check import nearest
from stages.stage import Source, Stage

# Module and function of each recipe; imported when asked for, since a recipe imports its stages.
RECIPES = {
    "web": "pipelines.web:web",
    "dedup": "pipelines.dedup:dedup",
    "decontaminate": "pipelines.decontaminate:decontaminate",
    "dedup-stream": "pipelines.dedup_stream:dedup_stream",
    "dedup-exact": "pipelines.dedup_exact:dedup_exact",
    "dedup-url": "pipelines.dedup_exact:dedup_url",
    "dedup-lines": "pipelines.dedup_lines:dedup_lines",
    "dedup-substring": "pipelines.dedup_substring:dedup_substring",
    "dedup-semantic": "pipelines.dedup_semantic:dedup_semantic",
    "refine": "pipelines.refine:refine",
    "rate": "pipelines.rate:rate",
    "embed": "pipelines.embed:embed",
    "entigraph": "pipelines.entigraph:entigraph",
    "instruction": "pipelines.instruction:instruction",
    "reading": "pipelines.reading:reading",
    "reading-tasks": "pipelines.reading:reading_tasks",
    "augment": "pipelines.augment:augment",
    "subject-qa": "pipelines.subject_qa:subject_qa",
    "dialogue": "pipelines.dialogue:dialogue",
    "conversation": "pipelines.conversation:conversation",
    "translate": "pipelines.translate:translate",
    "doc2query": "pipelines.doc2query:doc2query",
    "leaner": "pipelines.leaner:leaner",
    "rephrase": "pipelines.rephrase:rephrase",
}
KINDS: dict[str, Any] = {"stage": Stage, "source": Source, "shuffle": Shuffle | Moving}
LONGEST_NAME = 100  # of a step, which is a folder


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`, or the one in the YAML file `name`."""
    if name in RECIPES:
        module, _, function = RECIPES[name].partition(":")
        recipe: Recipe = getattr(importlib.import_module(module), function)()
        return recipe
    if name.endswith((".yaml", ".yml")):
        data = read_yaml(name)
        return recipe_of(data, name)
    known = ", ".join(sorted(RECIPES))
    raise ConfigError(f"no recipe {name!r}{nearest(name, list(RECIPES)) or f'; there is {known}, or a .yaml file'}")


def read_yaml(path: str) -> dict[str, Any]:
    """The mapping in a YAML file; `ConfigError` says what is wrong and where."""
    try:
        data = plain_yaml.load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        told = str(error).replace("\n", "\n  ")  # one fault, whatever lines it takes
        raise ConfigError(f"{path}: {told}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping, found {type(data).__name__}")
    if faults := [*credentials.faults(data)]:
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in dict.fromkeys(faults)))
    return data


def recipe_of(data: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain data; one `ConfigError` with every fault in it."""
    faults = unknown_keys(data, ("name", "about", "steps"), where)
    steps = data.get("steps")
    if not isinstance(steps, list) or not steps:
        raise ConfigError("\n".join([*faults, f"{where}: 'steps' should be a list of steps, found {steps!r}"]))
    built: list[Step] = []
    for number, step in enumerate(steps):
        found, wrong = _step_of(step, f"{where}: step {number + 1}")
        faults += wrong
        if found is not None:
            built.append(found)
    names = [step.name for step in built]
    faults += [f"{where}: two steps are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    if faults:
        raise ConfigError("\n".join(faults))
    return Recipe(str(data.get("name") or Path(where).stem), tuple(built), str(data.get("about", "")))


def unknown_keys(data: dict[str, Any], known: tuple[str, ...], where: str) -> list[str]:
    """One fault for each key of `data` that nothing reads."""
    return [f"{where}: unknown key {key!r}{nearest(str(key), list(known))}" for key in data if key not in known]


def _step_of(data: Any, where: str) -> tuple[Step | None, list[str]]:
    if not isinstance(data, dict):
        return None, [f"{where}: expected a mapping, found {data!r}"]
    faults = unknown_keys(data, ("name", "after", "source", "shuffle", "stages"), where)
    name = data.get("name")
    if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
        faults.append(f"{where}: 'name' should be letters, digits, - and _, found {name!r:.80}")
    elif len(name) > LONGEST_NAME:
        faults.append(f"{where}: 'name' should have {LONGEST_NAME} characters at most, found {len(name)}")
    stages = data.get("stages") or []
    if not isinstance(stages, list):
        faults.append(f"{where}: 'stages' should be a list, found {stages!r}")
        stages = []
    after = data.get("after")
    if after is not None and not isinstance(after, str):
        faults.append(f"{where}: 'after' should name an earlier step, found {after!r}")
    parts: list[Any] = []
    kinds = ["source", "shuffle", *["stage"] * len(stages)]
    for kind, part in zip(kinds, (data.get("source"), data.get("shuffle"), *stages), strict=True):
        try:
            parts.append(None if part is None and kind != "stage" else _part_of(part, kind))
        except ConfigError as error:
            faults += [f"{where}: {line}" for line in str(error).splitlines()]
    if data.get("source") is None:
        faults.append(f"{where}: 'source' is missing")
    if faults:
        return None, faults
    return Step(str(name), parts[0], tuple(parts[2:]), after, parts[1]), []


def _part_of(data: Any, kind: str) -> Any:
    if isinstance(data, str):
        data = {"stage": data}
    if not isinstance(data, dict) or not isinstance(data.get("stage"), str):
        raise ConfigError(f"expected {{stage: dotted.path.Class, setting: value ...}}, found {data!r}")
    part = build(data["stage"], {key: value for key, value in data.items() if key != "stage"})
    if not isinstance(part, KINDS[kind]):
        found = next((f"a {name}" for name, shape in KINDS.items() if isinstance(part, shape)), None)
        is_ = f"{found}, expected a {kind}" if found else f"neither {', '.join([*KINDS][:-1])} nor {[*KINDS][-1]}"
        raise ConfigError(f"{data['stage']} is {is_}")
    return part
