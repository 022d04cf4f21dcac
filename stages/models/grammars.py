"""What a grammar allows next, as a mask over the vocabulary, by llguidance.

Two traps (both measured): repetition without a bound is cut by `max_tokens`, so bound every repeat; and a weak model
writes white space for ever where JSON allows it, so JSON here is compact.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.models.engine import Grammar
from stages.stage import StageError

BEGUN = 256  # grammars that are kept compiled: a copy takes a microsecond, compiling one or two milliseconds


@dataclass
class Vocabulary:
    """A tokenizer as llguidance knows it, made once a model (about a second for 100,000 tokens)."""

    tokens: Any
    width: int
    ends: tuple[int, ...]
    begun: dict[Grammar, Any] = field(default_factory=dict)

    def follow(self, grammar: Grammar) -> "Follower":
        """A place to begin in `grammar`; `ValueError` says what is wrong with it."""
        import llguidance  # noqa: PLC0415 - an extra

        matcher = self.begun.get(grammar)
        if matcher is None:
            matcher = llguidance.LLMatcher(self.tokens, compile_grammar(grammar))
            if matcher.is_error():
                raise ValueError(f"{grammar.kind} grammar: {matcher.get_error()}")
            if len(self.begun) >= BEGUN:
                self.begun.clear()
            self.begun[grammar] = matcher
        return Follower(matcher.deep_copy(), self.width, frozenset(self.ends))


@dataclass
class Follower:
    """How far one answer has come in its grammar. `error` says why it cannot go on, if it cannot."""

    matcher: Any
    width: int
    ends: frozenset[int]
    done: bool = False
    error: str | None = None

    def take(self, token: int) -> None:
        """The answer's next token."""
        if self.done or self.error is not None:
            return
        self.done = token in self.ends
        if not self.done and not self.matcher.consume_token(token):
            self.error = f"grammar: {self.matcher.get_error() or f'token {token} is not allowed'}"

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next; the end alone after an error."""
        mask = np.zeros(self.width, np.bool_)
        if not self.done and self.error is None:
            bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
            found = np.unpackbits(bits, bitorder="little")[: self.width].astype(np.bool_)
            mask[: len(found)] = found
            if self.matcher.is_error() or not mask.any():
                self.error = f"grammar: {self.matcher.get_error() or 'nothing is allowed here'}"
        if self.done or self.error is not None:
            mask[list(self.ends)] = True
        return mask


def open_vocabulary(tokenizer: Any, width: int, ends: tuple[int, ...], who: str) -> Vocabulary:
    """`tokenizer` for llguidance; `width` is how many logits the model has, `ends` its end tokens."""
    try:
        import llguidance.hf  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(f"{who}: grammars need llguidance: pip install 'headrace[models]'") from error
    if not ends:
        raise StageError(f"{who}: a grammar needs an end token, and neither model nor tokenizer names one")
    try:
        tokens = llguidance.hf.from_tokenizer(tokenizer, max(width, len(tokenizer)), list(ends))
    except ValueError as error:
        raise StageError(
            f"{who}: grammars do not work with this tokenizer ({type(tokenizer).__name__}): {error}"
        ) from error
    return Vocabulary(tokens, width, ends)


def compile_grammar(grammar: Grammar) -> str:
    """`grammar` in llguidance's own form; `ValueError` for one that is none."""
    import llguidance  # noqa: PLC0415 - an extra
    from llguidance.gbnf_to_lark import gbnf_to_lark  # noqa: PLC0415

    make = llguidance.LLMatcher
    if grammar.kind == "regex":
        return str(make.grammar_from_regex(grammar.text))
    if grammar.kind == "ebnf":
        try:
            return str(make.grammar_from_lark(gbnf_to_lark(grammar.text)))
        except Exception as error:  # the converter raises bare ones
            raise ValueError(f"ebnf grammar: {error}") from error
    try:
        json.loads(grammar.text)
    except ValueError as error:
        raise ValueError(f"json grammar: the schema is no JSON: {error}") from error
    return str(make.grammar_from_json_schema(grammar.text, overrides={"whitespace_flexible": False}))
