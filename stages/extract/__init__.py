"""Extraction engines: one module each with `extract(html, settings) -> str`, found by name in `ENGINES`.

`html` is the page in UTF-8.

This package imports no engine, and no Arrow, by itself: `stages.sandbox` loads it in a process that stays small.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

ENGINES = {
    "trafilatura": "stages.extract.trafilatura",
    "resiliparse": "stages.extract.resiliparse",
    "headrace": "stages.extract.headrace",
}

WARM_UP = b"<html><head><title>Page</title></head><body><article><p>One paragraph.</p></article></body></html>"


@dataclass(frozen=True)
class Settings:
    """What an engine may be told.

    `favor_precision`: rather less text than something that is not the main text. `favor_recall`: rather such text than
    less of it. `include_comments`: what readers wrote below the main text is text too.
    """

    favor_precision: bool = True
    include_comments: bool = False
    favor_recall: bool = False


@dataclass(frozen=True)
class Page:
    """An engine with its settings, as a function of the page's UTF-8 bytes: what the sandbox runs."""

    engine: str
    settings: Settings

    def __call__(self, html: bytes) -> bytes:
        text = load(self.engine)(html, self.settings)
        return text.encode(errors="replace")  # half a surrogate pair, from JSON inside the page, is no Unicode text


def load(engine: str) -> Callable[[bytes, Settings], str]:
    """The function of an engine: the main text of an HTML page, empty where there is none."""
    extract: Callable[[bytes, Settings], str] = importlib.import_module(ENGINES[engine]).extract
    return extract
