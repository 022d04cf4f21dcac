"""YAML as people mean it: `no` is Norwegian and not False. Only true and false are truth values (YAML 1.2)."""

import re
from typing import Any

import yaml

DEEPEST = 50  # recipes are five deep
MOST = 100_000


class _Loader(yaml.SafeLoader):
    """The safe loader with its own table of implicit types."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load(text: str) -> Any:
    """Plain data from YAML, at most `MOST` values. Raises `yaml.YAMLError`; never makes anything but plain data."""
    _not_too_deep(text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST:
            raise _refused(f"stands for more than {MOST:,} values", node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _not_too_deep(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _refused(f"lists and mappings within one another, more than {DEEPEST} deep", event)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values the node stands for once its aliases are written out: a kilobyte of those can be a billion."""
    if id(node) in known:
        if not known[id(node)]:
            raise _refused("holds itself", node)
        return known[id(node)]
    known[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        _each_key_once(node)
    inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    inner = [] if isinstance(node, yaml.ScalarNode) else inner
    known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]


def _each_key_once(node: yaml.MappingNode) -> None:
    """YAML forbids a key twice; the loader would take the last and say nothing."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in lines:
                raise _refused(f"the key {key.value!r} again, first in line {lines[key.value]}: keep one", key)
            lines[key.value] = key.start_mark.line + 1


def _refused(what: str, at: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, at.start_mark)
