"""The items' n-grams, which of them a document has, and what that says, by each of four rules.

gpt3 (Brown et al. 2020, arXiv 2005.14165, C.1 and C.2): words by white space, lower case, no punctuation. n is the 5th
percentile of a benchmark's items in words, at least 8 and at most 13; an item is its prompts and its answer. One shared
n-gram is enough. N-grams of more than 10 items say nothing. (GPT-3 left out those in more than 10 training documents,
which no document knows by itself: `Decontaminate.ignore` takes a list of them, which the report of a run writes.)

tulu3 (Lambert et al. 2024, arXiv 2411.15124): 8-grams of the prompts. A word of a prompt is matched if it is in a
shared 8-gram; more than half of the words have to be, on average over an item's prompts. An n-gram that a prompt has
twice counts at its last place. Prompts and documents are both split by the analyzer that TULU 3 gives to its search
engine; theirs are split by spaCy first, which takes `don't` apart, so that such words match there in no document.

datatrove (`NGramsDecontFilter` of datatrove 0.10.1, its defaults): 12-grams of the answer, and those across the border
of prompt and answer, over `simplify_text` and its tokenizer. One is enough.

cosmopedia (its decontaminate.py): a shared 10-gram makes a candidate. Then the characters of difflib's matching blocks
longer than 5 over those of the prompt, all as words joined by spaces, have to be more than half. Theirs compares one
item a document, by chance; here it is every candidate. Of a long document the `COMPARED` code points around the first
shared n-gram are compared.
"""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from stages.decontamination.items import Item
from stages.decontamination.words import SPLITTERS, Word

Rule = Literal["gpt3", "tulu3", "datatrove", "cosmopedia"]
SIZES = {"gpt3": None, "tulu3": 8, "datatrove": 12, "cosmopedia": 10}  # None: by benchmark
GPT3_SIZES = (8, 13)
PERCENTILE = 5
THRESHOLDS = {"gpt3": 0.0, "tulu3": 0.5, "datatrove": 0.0, "cosmopedia": 0.5}
TOO_COMMON = {"gpt3": 10, "tulu3": 0, "datatrove": 0, "cosmopedia": 0}  # 0: none is
COMPARED = 20_000
SHORTEST_BLOCK = 6
BLOCK = 100_000  # words of a document in memory


class Query(NamedTuple):
    """A text of an item: its words, its n, and its n-grams, each with the last word at which it begins."""

    item: int
    words: list[str]
    n: int
    places: dict[str, int]


class Hit(NamedTuple):
    """What a document shares with an item: the score by the rule, an n-gram, and the item's places of all of them."""

    item: int
    score: float
    ngram: str
    places: list[int]


class Found(NamedTuple):
    """What a document has: items over the threshold, the best first, and where their n-grams are in it."""

    hits: list[Hit]
    spans: list[tuple[int, int]]  # in order; they may overlap


class Index:
    """The n-grams of items under one rule. `n` None and `threshold` None are the rule's own."""

    def __init__(
        self,
        items: list[Item],
        rule: Rule,
        n: int | None = None,
        threshold: float | None = None,
        too_common: int | None = None,
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        self.items, self.rule = items, rule
        self.split = SPLITTERS[rule]
        self.threshold = THRESHOLDS[rule] if threshold is None else threshold
        queries = list(queries_of(items, rule, n))
        # An item's score is averaged over these: a text too short for an n-gram counts as not found.
        self.n_queries = Counter(query.item for query in queries)
        self.queries = [query for query in queries if query.places]
        limit = TOO_COMMON[rule] if too_common is None else too_common
        self.postings = _postings(self.queries, limit, ignored)
        self.longest = max((query.n for query in self.queries), default=1)
        self.sizes = _sizes(self.postings, self.queries)

    def find(self, text: str) -> Found:
        """What `text` shares with the items."""
        places: dict[int, set[int]] = defaultdict(set)
        spans: list[tuple[int, int, str]] = []
        for ngram, start, end in self._ngrams(self.split(text)):
            for query, place in self.postings[ngram]:
                places[query].add(place)
            spans.append((start, end, ngram))
        by_item: dict[int, list[int]] = defaultdict(list)
        for query in places:
            by_item[self.queries[query].item].append(query)
        hits, shared = [], set()
        for item, queries in by_item.items():
            score = sum(self._score(query, places[query], text, spans) for query in queries) / self.n_queries[item]
            if score > self.threshold:
                first = min(queries)
                ngrams = {self._ngram(query, place) for query in queries for place in places[query]}
                hits.append(Hit(item, score, self._ngram(first, min(places[first])), sorted(places[first])))
                shared |= ngrams
        hits.sort(key=lambda hit: (-hit.score, hit.item))
        return Found(hits, [(start, end) for start, end, ngram in spans if ngram in shared])

    def _ngrams(self, words: Iterator[Word]) -> Iterator[tuple[str, int, int]]:
        """The n-grams of a document that are some item's, with their places, a block of words at a time."""
        block: list[Word] = []
        while True:
            more = list(islice(words, BLOCK))
            block += more
            text = [word for word, _, _ in block]
            last = len(block) - self.longest + 1 if len(more) == BLOCK else len(block)
            for i in range(max(last, 0)):
                for n in self.sizes.get(text[i], ()):
                    ngram = " ".join(text[i : i + n])
                    if i + n <= len(text) and ngram in self.postings:
                        yield ngram, block[i][1], block[i + n - 1][2]
            if len(more) < BLOCK:
                return
            block = block[max(last, 0) :]

    def _score(self, query: int, places: set[int], text: str, spans: Iterable[tuple[int, int, str]]) -> float:
        _, words, n, ngrams = self.queries[query]
        if self.rule == "tulu3":
            return len({word for place in places for word in range(place, place + n)}) / len(words)
        if self.rule == "cosmopedia":
            shared = {self._ngram(query, place) for place in places}
            start = next(start for start, _, ngram in spans if ngram in shared)
            return _similarity([word for word, at, _ in self.split(text) if abs(at - start) <= COMPARED // 2], words)
        return len(places) / len(ngrams)

    def _ngram(self, query: int, place: int) -> str:
        _, words, n, _ = self.queries[query]
        return " ".join(words[place : place + n])


def queries_of(items: list[Item], rule: Rule, n: int | None) -> Iterator[Query]:
    """The texts of each item that its rule looks for."""
    if rule == "datatrove":
        yield from (_border(number, item, n or 12) for number, item in enumerate(items))
        return
    split = SPLITTERS[rule]
    words: list[tuple[int, list[str]]] = []
    for number, item in enumerate(items):
        texts = item.prompts if rule == "tulu3" else ["\n".join(item.prompts)]
        if rule == "gpt3":
            texts = ["\n".join((*item.prompts, item.answer))]
        words += [(number, [word for word, _, _ in split(text)]) for text in texts]
    lengths: dict[str, list[int]] = defaultdict(list)
    for number, found in words:
        lengths[items[number].benchmark].append(len(found))
    sizes = {benchmark: n or SIZES[rule] or gpt3_size(found) for benchmark, found in lengths.items()}
    for number, found in words:
        size = sizes[items[number].benchmark]
        places = {" ".join(found[i : i + size]): i for i in range(len(found) - size + 1)}
        yield Query(number, found, size, places)


def gpt3_size(lengths: list[int]) -> int:
    """GPT-3's n: the 5th percentile of the items' lengths in words, from 8 to 13."""
    low, high = GPT3_SIZES
    return min(max(int(np.percentile(lengths, PERCENTILE)), low), high)


def _border(number: int, item: Item, n: int) -> Query:
    """The n-grams of the answer and across its border, as datatrove's indexer makes them."""
    split = SPLITTERS["datatrove"]
    query, label = ([word for word, _, _ in split(text)] for text in ("\n".join(item.prompts), item.answer))
    words = query[len(query) - n + 1 :] + label if len(query) >= n else query + label
    places = {" ".join(words[i : i + n]): i for i in range(len(words) - n + 1)} if label else {}
    return Query(number, words, n, places)


def _postings(queries: list[Query], limit: int, ignored: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
    """The queries and places of each n-gram, without those that say nothing."""
    postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, query in enumerate(queries):
        for ngram, place in query.places.items():
            postings[ngram].append((number, place))
    common = {ngram for ngram, found in postings.items() if limit and len({queries[q].item for q, _ in found}) > limit}
    return {ngram: found for ngram, found in postings.items() if ngram not in common and ngram not in ignored}


def _sizes(postings: dict[str, list[tuple[int, int]]], queries: list[Query]) -> dict[str, list[int]]:
    """The sizes of the n-grams that begin with each word."""
    sizes: dict[str, set[int]] = defaultdict(set)
    for ngram, found in postings.items():
        sizes[ngram.partition(" ")[0]].update(queries[query].n for query, _ in found)
    return {word: sorted(found) for word, found in sizes.items()}


def _similarity(document: list[str], prompt: list[str]) -> float:
    """The share of the prompt's characters in matching blocks, these joined by spaces."""
    first, second = " ".join(document), " ".join(prompt)
    blocks = difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    parts = [first[block.a : block.a + block.size] for block in blocks if block.size >= SHORTEST_BLOCK]
    return len(" ".join("".join(parts).split())) / len(second)
