"""headrace's own engine: blocks of text, judged one by one by a small network fitted to pages that people marked up.

One pass over the page's bytes finds the blocks (`stages.kernels.html_blocks`); each has features of its own, of the
elements it is in and of its neighbours (`html_features`); the likely ones are the main text (`html_choice`). The
weights in headrace.json are made by benchmarks/train_extraction.py; they know no language's words.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.extract import Settings
from stages.kernels.html_blocks import read_page
from stages.kernels.html_choice import Judged, choose, join
from stages.kernels.html_features import Network, features, probabilities
from stages.kernels.html_tags import NAMES, Lexicon, hash_name, hash_table

PRECISE = 0.6  # a block is main text from this probability on, when precision is favoured
BALANCED = 0.5
INCLUSIVE = 0.35  # when recall is
COMMENTS = ("comment", "comments", "commentlist", "comment-list", "commentarea", "disqus", "respond", "replies")


def extract(html: bytes, settings: Settings) -> str:
    """The main text of a page in UTF-8."""
    page, data = read_page(html)
    if not len(page.starts):
        return ""
    lexicon, network = weights()
    known = features(page, data, lexicon)
    judged = Judged(page, known, probabilities(known.rows, network))
    threshold = PRECISE if settings.favor_precision else INCLUSIVE if settings.favor_recall else BALANCED
    keep = choose(judged, threshold, settings.include_comments)
    return bytes(page.text[: join(judged, keep)]).decode()


@cache
def weights() -> tuple[Lexicon, Network]:
    """The fitted numbers beside this file."""
    model: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
    return lexicon_of(model["lexicon"]), network_of(model)


def lexicon_of(weights: dict[str, float]) -> Lexicon:
    """The look-up for weights of words; those of tags are named like <p>."""
    words = dict.fromkeys(COMMENTS, 0.0) | {word: value for word, value in weights.items() if word[0] != "<"}
    return Lexicon(
        *hash_table([hash_name(word) for word in words]),
        np.array(list(words.values())),
        np.array([word in COMMENTS for word in words]),
        np.array([weights.get(f"<{name}>", 0.0) for name in NAMES]),
    )


def network_of(model: dict[str, Any]) -> Network:
    return Network(*(np.array(model[name], dtype=np.float32) for name in Network._fields))
