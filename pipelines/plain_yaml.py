"""YAML as people mean it: `no` is Norwegian and not False. Only true and false are truth values (YAML 1.2)."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """The safe loader with its own table of implicit types."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load(text: str) -> Any:
    """Plain data from YAML. Raises `yaml.YAMLError`; never makes anything but plain data."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
