"""A step, a recipe, and how both are built from plain data.

A step is one streaming run between two datasets; a recipe is steps in order. A stage is named in data by its dotted
path and settings, the same form that `step.json` records, so any finished step can be opened again.
"""

import dataclasses
import importlib
import math
import pkgutil
import typing
from dataclasses import dataclass, field
from typing import Any

from cluster.barrier import Moving, Shuffle
from cluster.errors import ConfigError
from schemas.check import nearest
from stages.stage import Source, Stage, name_of


@dataclass(frozen=True)
class Step:
    """One streaming run: a source, the stages behind it, a dataset.

    `source` reads the run's inputs or, when `after` names an earlier step, that step's dataset, shard for shard.
    """

    name: str
    source: Source
    stages: tuple[Stage, ...]
    after: str | None = None
    shuffle: Shuffle | Moving | None = None

    @property
    def parts(self) -> tuple[Any, ...]:
        """Everything in the step that has settings, in order."""
        return tuple(part for part in (self.source, self.shuffle, *self.stages) if part is not None)


@dataclass(frozen=True)
class Recipe:
    """Steps in order; the last one's dataset is the result. `about` is the paper or page it follows."""

    name: str
    steps: tuple[Step, ...]
    about: str = ""
    final: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "final", self.steps[-1].name)


def setting_names(cls: type) -> list[str]:
    """The settings of a stage class: its dataclass fields that its constructor takes."""
    return [f.name for f in dataclasses.fields(cls) if f.init]


def load_class(path: str) -> type:
    """The class at a dotted path such as `stages.language.Language`; `ConfigError` says which part is not there."""
    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        raise ConfigError(f"{path}: expected a dotted path such as stages.language.Language")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot import {module_name!r}: {error}{_nearest_module(module_name)}") from error
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and dataclasses.is_dataclass(v)]
        raise ConfigError(f"{path}: no stage {class_name!r} in {module_name}{nearest(class_name, known)}")
    return cls


def build(path: str, settings: dict[str, Any]) -> Any:
    """A stage from its dotted path and settings. `ConfigError` lists every unknown or unfit setting."""
    cls = load_class(path)
    faults, values = read_settings(cls, settings)
    if faults:
        raise ConfigError("\n".join(faults))
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{cls.__name__}: {error}") from error


def restore(identity: dict[str, Any], execution: dict[str, Any] | None = None) -> Any:
    """A stage from what `stages.stage.identity` recorded of it, and `execution_of` where that matters."""
    cls = load_class(identity["stage"])
    recorded = {**identity["settings"], **(execution or {})}
    return build(identity["stage"], {name: v for name, v in recorded.items() if name in setting_names(cls)})


def numbered(stages: tuple[Stage, ...]) -> list[str]:
    """The names of a step's stages, the second of a kind as `Name (2)`."""
    names = [name_of(stage) for stage in stages]
    seen = [names[: at + 1].count(name) for at, name in enumerate(names)]
    return [name if n == 1 else f"{name} ({n})" for name, n in zip(names, seen, strict=True)]


def read_settings(cls: type, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Check plain `settings` against the fields of `cls`: (faults, values of the declared types)."""
    known = setting_names(cls)
    hints = typing.get_type_hints(cls)
    faults, values = [], {}
    for name, value in settings.items():
        if name not in known:
            there = f" (it has {', '.join(known)})" if known else " (it has none)"
            faults.append(f"{cls.__name__} has no setting {name!r}{nearest(str(name), known) or there}")
            continue
        try:
            values[name] = _as_type(value, hints[name])
        except (TypeError, ValueError, OverflowError):
            faults.append(f"{cls.__name__}.{name} should be {kind_of(hints[name])}, got {value!r}")
    return faults, values


def change(step: Step, settings: dict[str, dict[str, Any]]) -> tuple[Step, list[str]]:
    """`step` with settings changed, by stage name; and every fault met. Names not in the step are passed over."""
    faults: list[str] = []

    def changed(part: Any) -> Any:
        if part is None or name_of(part) not in settings:
            return part
        wrong, values = read_settings(type(part), settings[name_of(part)])
        faults.extend(wrong)
        if wrong:
            return part
        try:
            return dataclasses.replace(part, **values)
        except (TypeError, ValueError) as error:
            told = str(error)
            faults.append(told if told.startswith(name_of(part)) else f"{name_of(part)}: {told}")
            return part

    return (
        Step(step.name, changed(step.source), tuple(map(changed, step.stages)), step.after, changed(step.shuffle)),
        faults,
    )


def _nearest_module(name: str) -> str:
    """`; did you mean 'language'?` for the nearest module beside the one that is not there."""
    package, _, leaf = name.rpartition(".")
    try:
        beside = importlib.import_module(package).__path__
    except (ImportError, AttributeError, TypeError, ValueError):
        return ""
    return nearest(leaf, [module.name for module in pkgutil.iter_modules(beside) if module.name != leaf])


def kind_of(hint: Any) -> str:
    """A setting's declared type in words."""
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    return str(hint) if typing.get_args(hint) else str(getattr(hint, "__name__", hint))


def _as_type(value: Any, hint: Any) -> Any:  # noqa: PLR0911, PLR0912 - one branch per kind of type
    """`value`, from YAML or the command line, as the declared type; ValueError or TypeError when it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(value)
        return value
    if type(None) in arguments:  # X | None
        if value is None or value in ("", "null", "none"):
            return None
        return _as_type(value, next(a for a in arguments if a is not type(None)))
    if hint is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ValueError(value)
        return value
    if hint in (int, float):
        if isinstance(value, bool) or (hint is int and isinstance(value, float) and value != int(value)):
            raise ValueError(value)
        number = hint(value)
        if math.isnan(number) or (hint is int and not -(1 << 63) <= number < 1 << 63):
            raise ValueError(value)
        return number
    if hint is str:
        if value is None or isinstance(value, dict | list | bool):
            raise ValueError(value)
        return str(value)
    if origin is tuple:
        if isinstance(value, dict):
            raise ValueError(value)
        items = [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else list(value)
        kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else arguments
        return tuple(_as_type(v, kind) for v, kind in zip(items, kinds, strict=True))
    return value
