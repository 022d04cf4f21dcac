"""Prompts as files: a name, a version, what is said, and what an answer must look like.

A prompt is `stages/prompts/<name>.yaml`, or a path to a file of the same form:

    name: rephrase-easy
    version: 1
    system: You rewrite texts ...
    user: "{{text}}"
    grammar: null            # or {kind: regex|json|ebnf, text: ...}
    prefix: "Here it is:"    # what an answer must begin with, if anything
    source: arXiv 2401.16380, section 3.1

Its hash is over what reaches the model and what is asked of the answer, and is kept in each row's provenance: a wording
that has changed is another prompt, and its answers are asked for again.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from schemas.check import nearest
from stages.models.engine import Grammar, Prompt

FOLDER = Path(__file__).resolve().parent
KEYS = {"name", "version", "system", "user", "grammar", "prefix", "source"}
KINDS = get_args(get_type_hints(Grammar)["kind"])
FIELD = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class PromptFile:
    """A prompt with places for values, and the form of its answer."""

    name: str
    version: int
    system: str | None
    user: str
    grammar: Grammar | None
    prefix: str
    source: str

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the places, in order of appearance."""
        return tuple(dict.fromkeys(FIELD.findall(f"{self.system or ''}\n{self.user}")))

    @property
    def hash(self) -> str:
        """16 hex digits."""
        grammar = None if self.grammar is None else [self.grammar.kind, self.grammar.text]
        what = [self.name, self.version, self.system, self.user, grammar, self.prefix]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def chat(self, **values: str) -> Prompt:
        """The prompt with its places filled; what is filled in is never filled again."""
        absent = [name for name in self.fields if name not in values]
        if absent:
            raise ValueError(f"prompt {self.name}: no value for {', '.join(absent)}")

        def filled(text: str) -> str:
            return FIELD.sub(lambda match: values[match[1]], text)

        user = ("user", filled(self.user))
        return Prompt(chat=(user,) if self.system is None else (("system", filled(self.system)), user))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def load_prompt(name: str) -> PromptFile:
    """The prompt called `name`, or the one in the file `name`; `ValueError` with every fault of it."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
        raise ValueError(f"no prompt {name!r}{nearest(name, known) or '; there is ' + ', '.join(known)}")
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"prompt {path}: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"prompt {path}: expected a mapping, found {type(data).__name__}")
    faults = [f"unknown key {key!r}{nearest(str(key), sorted(KEYS))}" for key in data if key not in KEYS]
    faults += [f"{key!r} is missing" for key in ("name", "version", "user") if not data.get(key)]
    grammar = data.get("grammar")
    if grammar is not None and not (isinstance(grammar, dict) and {"kind", "text"} == set(grammar)):
        faults.append(f"'grammar' should be {{kind, text}}, found {grammar!r}")
    elif grammar is not None and grammar["kind"] not in KINDS:
        faults.append(f"grammar.kind should be one of {', '.join(KINDS)}, found {grammar['kind']!r}")
    for key in ("name", "system", "user", "prefix", "source"):
        if not isinstance(data.get(key), str | None):
            faults.append(f"{key!r} should be a text, found {data[key]!r}")
    version = data.get("version")
    if version and (isinstance(version, bool) or not isinstance(version, int)):
        faults.append(f"'version' should be a whole number, found {version!r}")
    if faults:
        raise ValueError("\n".join(f"prompt {path}: {fault}" for fault in faults))
    return PromptFile(
        str(data["name"]),
        int(data["version"]),
        None if data.get("system") is None else str(data["system"]),
        str(data["user"]),
        None if grammar is None else Grammar(grammar["kind"], str(grammar["text"])),
        str(data.get("prefix") or ""),
        str(data.get("source") or ""),
    )
