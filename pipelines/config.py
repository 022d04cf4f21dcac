"""Settings from the command line and from a file: checked, and every fault told at once."""

import dataclasses
import re
from typing import Any

import yaml

from cluster.errors import ConfigError
from cluster.recipe import Recipe, change, setting_names
from cluster.signals.log import FORMATS
from pipelines import plain_yaml
from pipelines.recipes import read_yaml, unknown_keys
from schemas.check import nearest
from stages.stage import name_of

KEYS = (
    "input", "output", "set", "runner", "workers", "address", "fresh", "redo", "max_dead", "memory", "ledger",
    "removed_text", "json", "log_format", "otel", "stuck_after",
)  # fmt: skip
SCHEME = re.compile(r"[a-z]+:")  # an engine without more, such as template:, which YAML takes for a mapping
UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

# What goes with another stage's setting. The tests of `Screen` are bounds of what filters behind it test; a budget is
# for what is asked.
FOLLOWS = {
    ("ShareBudget", "most"): ("EntiGraph", "most"),
    ("ShareBudget", "triples"): ("EntiGraph", "triples"),
    ("SemanticDuplicates", "column"): ("AssignCentroid", "column"),
    ("Screen", "languages"): ("Language", "languages"),
    ("Screen", "model"): ("Language", "model"),
    ("Screen", "model_sha256"): ("Language", "model_sha256"),
    ("Screen", "min_words"): ("GopherQuality", "min_doc_words"),
    ("Screen", "min_stop_words"): ("GopherQuality", "min_stop_words"),
    ("Screen", "stop_words"): ("GopherQuality", "stop_words"),
}


def read_config(path: str) -> dict[str, Any]:
    """A run's settings from a YAML file. `set` is {Stage: {setting: value}}; the rest are the options of `run`."""
    data = read_yaml(path)
    faults = unknown_keys(data, KEYS, path)
    kinds: dict[str, tuple[type, ...]] = {
        "input": (str, list), "output": (str,), "set": (dict,), "runner": (str,), "workers": (int,), "address": (str,),
        "fresh": (bool,), "redo": (str, list), "max_dead": (int, float), "memory": (str, int), "ledger": (str,),
        "removed_text": (bool,), "json": (bool,), "log_format": (str,), "otel": (bool,),
        "stuck_after": (int, float),
    }  # fmt: skip
    for key, kind in kinds.items():
        if key in data and (not isinstance(data[key], kind) or (isinstance(data[key], bool) and bool not in kind)):
            wanted = " or ".join(t.__name__ for t in kind)
            faults.append(f"{path}: {key!r} should be {wanted}, found {data[key]!r}")
    if data.get("runner") not in (None, "local", "ray"):
        faults.append(f"{path}: 'runner' should be local or ray, found {data['runner']!r}")
    if data.get("log_format") not in (None, *FORMATS):
        faults.append(f"{path}: 'log_format' should be {' or '.join(FORMATS)}, found {data['log_format']!r}")
    for key in ("input", "redo"):
        texts = data.get(key, "given elsewhere")
        if isinstance(texts, list) and not (texts and all(isinstance(text, str) for text in texts)):
            faults.append(f"{path}: {key!r} should be text or a list of texts, found {texts!r}")
    if isinstance(data.get("set"), dict):
        faults += [f"{path}: {fault}" for fault in _set_faults(data["set"])]
    if faults:
        raise ConfigError("\n".join(faults))
    return data


def bytes_of(size: str | int) -> int:
    """`4GB`, `512 MiB` or a number of bytes, in bytes. `ValueError` for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b)?\s*", str(size).lower())
    if found is None or (found[2] or "") not in UNITS:
        raise ValueError(f"should be a size such as 4GB, 512MiB or a number of bytes, got {size!r}")
    if len(found[1]) > 20:
        raise ValueError(f"should be a size such as 4GB, got a number of {len(found[1])} digits")
    return int(float(found[1]) * UNITS[found[2] or ""])


def _set_faults(settings: dict[Any, Any]) -> list[str]:
    faults = []
    for stage, values in settings.items():
        if not isinstance(stage, str):
            faults.append(f"set.{stage} should be named by a stage or a step")
        elif not isinstance(values, dict):
            faults.append(f"set.{stage} should be a mapping of settings, found {values!r}")
        else:
            wrong = [name for name in values if not isinstance(name, str)]
            faults += [f"set.{stage}.{name} should be the name of a setting" for name in wrong]
    return faults


def parse_sets(sets: list[str]) -> dict[str, dict[str, Any]]:
    """`Stage.setting=value` ... to {Stage: {setting: value}}; values are read as YAML scalars or lists."""
    settings: dict[str, dict[str, Any]] = {}
    faults = []
    for text in sets:
        name, equals, value = text.partition("=")
        stage, dot, setting = name.partition(".")
        if not (equals and dot and stage and setting):
            faults.append(f"--set {text}: expected stage.setting=value, such as ExtractText.engine=resiliparse")
            continue
        try:
            settings.setdefault(stage, {})[setting] = value if SCHEME.fullmatch(value) else plain_yaml.load(value)
        except yaml.YAMLError as error:
            faults.append(f"--set {text}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def configure(recipe: Recipe, settings: dict[str, dict[str, Any]]) -> Recipe:
    """`recipe` with settings changed by stage or by step name; one `ConfigError` with every fault.

    What follows another stage's setting (FOLLOWS) changes with it, unless it is set itself.
    """
    steps = {step.name: step for step in recipe.steps}
    stages = sorted({name_of(part) for step in recipe.steps for part in step.parts})
    known = ", ".join([*steps, *stages])
    faults = [
        f"recipe {recipe.name} has no stage or step {name!r}{nearest(name, [*stages, *steps]) or f'; it has {known}'}"
        for name in settings
        if name not in stages and name not in steps
    ]
    changed = []
    for step in recipe.steps:
        mine = {name: dict(values) for name, values in settings.items() if name in stages}
        for setting, value in settings.get(step.name, {}).items():
            holders = [name_of(part) for part in step.parts if setting in setting_names(type(part))]
            if not holders:
                there = sorted({s for part in step.parts for s in setting_names(type(part))})
                faults.append(f"step {step.name} has no setting {setting!r}{nearest(setting, there)}")
            for holder in holders:
                mine.setdefault(holder, {})[setting] = value
        for (stage, setting), (leader, its) in FOLLOWS.items():
            if stage in map(name_of, step.parts) and its in mine.get(leader, {}):
                mine.setdefault(stage, {}).setdefault(setting, mine[leader][its])
        result, wrong = change(step, mine)
        changed.append(result)
        faults += wrong
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    return dataclasses.replace(recipe, steps=tuple(changed))
