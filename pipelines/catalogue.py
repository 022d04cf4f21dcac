"""What there is: recipes with their steps, stages with their settings. Read from the code, so never out of date."""

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator

import stages
from cluster.errors import ConfigError
from cluster.recipe import kind_of
from pipelines.recipes import RECIPES, find_recipe
from schemas.check import nearest
from stages.stage import name_of


def recipes_text() -> str:
    """Every recipe, its steps in order, and the stages of each."""
    lines = []
    for name in sorted(RECIPES):
        recipe = find_recipe(name)
        lines.append(f"{name}: {recipe.about}")
        for step in recipe.steps:
            shuffle = f", {name_of(step.shuffle)} over all rows" if step.shuffle else ""
            source = f"reads {step.after}" if step.after else name_of(step.source)
            lines.append(f"  {step.name}: {source}{shuffle} -> " + " -> ".join(map(name_of, step.stages)))
    return "\n".join(lines)


def stages_text(name: str | None = None) -> str:
    """Every stage with its settings; or one stage with its whole documentation."""
    found = {cls.__name__: cls for cls in stage_classes()}
    if name is not None:
        if name not in found:
            raise ConfigError(f"no stage {name!r}{nearest(name, list(found))}")
        cls = found[name]
        return "\n".join([_path(cls), "", inspect.getdoc(cls) or "", "", *_settings(cls)])
    lines = []
    for cls in found.values():
        lines.append(f"{cls.__name__}: {(inspect.getdoc(cls) or '').splitlines()[0]}")
        lines += _settings(cls)
    return "\n".join(lines)


def stage_classes() -> Iterator[type]:
    """Every stage, source and shuffle under `stages`, in order of module."""
    for info in sorted(pkgutil.walk_packages(stages.__path__, "stages."), key=lambda i: i.name):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for _, cls in sorted(inspect.getmembers(module, inspect.isclass)):
            shaped = any(hasattr(cls, name) for name in ("open", "reduce", "moves"))
            if cls.__module__ == info.name and dataclasses.is_dataclass(cls) and shaped:
                yield cls


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _settings(cls: type) -> list[str]:
    lines, hints = [], typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        if field.default is not dataclasses.MISSING:
            default = repr(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = repr(field.default_factory())
        else:
            default = "(must be given)"
        lines.append(f"    {field.name} = {default}  ({kind_of(hints[field.name])})")
    return lines
