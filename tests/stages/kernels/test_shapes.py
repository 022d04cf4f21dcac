"""What is learned of a chunk's shape holds for the chunk: the slow rules, and spaCy itself, are asked as well."""

import itertools
import string

import numpy as np
import pyarrow as pa
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.chunks import ChunkTable, chunk_table
from stages.kernels.shapes import EXAMPLES, example_of, hashes_of, shape_of
from stages.kernels.utf8 import hash_of
from stages.kernels.words import BEGINS, DONE, ENDS, TIED, look_up, split
from stages.text.words import Chunk, splitter

ODD = "“”‘’…–—«»•·°€£¥©½²é中"
EMOTICONS = [":", ":-", ")", "(", "8", "<3", "^_^", "¯\\(", "ツ", "0_0", "._.", "xD", ":D", "n't", "'re", "’s", "'S"]
ENDINGS = [
    "km",
    "km/h",
    "mph",
    "US$",
    "C$",
    "am",
    "p.m.",
    "°F.",
    "://",
    "www.",
    ".com",
    ".org/",
    "@",
    ":80",
    "10",
    "St.",
]
RUNS = (
    st.text(string.ascii_lowercase, min_size=1, max_size=9)
    | st.text(string.ascii_uppercase, min_size=1, max_size=5)
    | st.text(string.ascii_letters, min_size=1, max_size=9)
    | st.text(string.digits, min_size=1, max_size=8)
    | st.from_regex(r"\A[A-Z][a-z]{1,7}\Z")
    | st.sampled_from(sorted(splitter("en").named_runs))
)
MARKS = st.sampled_from([*string.punctuation, *ODD, *EMOTICONS, *ENDINGS])
CHUNKS = st.lists(RUNS | MARKS, min_size=1, max_size=9).map("".join)
SPACY = spacy.blank("en")


def told(chunks, table=None):
    """(words, their lengths, flags, effect, ties) of each chunk by the table; the last two None for a plain one."""
    found = {}

    def kernel(texts, rows, status, known, words, unknown):
        for row in rows:
            start, stop = texts.starts[row], texts.stops[row]
            status[row], n = split(texts.data, start, stop, known, words, unknown)
            if status[row] == DONE:
                parts = [words.joined[i:j].tobytes().decode() for i, j in itertools.pairwise(words.starts[: n + 1])]
                entry, _ = look_up(known, np.uint64(hash_of(texts.data, start, stop)), texts.data, start, stop - start)
                facts = (tuple(known.effects[entry].tolist()), int(known.ties[entry])) if entry >= 0 else (None, None)
                lengths = np.diff(words.chars[: n + 1]).tolist()
                found[row] = (tuple(parts), lengths, words.flags[:n].tolist(), *facts)

    assert (table or chunk_table("en")).run(kernel, pa.array(chunks, pa.large_string())).tolist() == []
    return [found[row] for row in range(len(chunks))]


def assert_as_the_rules_say(chunks):
    """Each chunk's facts are those that the slow rules give, whatever chunk taught the table its shape."""
    for chunk, (words, lengths, flags, effect, ties) in zip(chunks, told(chunks), strict=True):
        exact = splitter("en").chunk(chunk)
        assert words == exact.words
        assert lengths == [*map(len, exact.words)]
        assert [flag & 2 for flag in flags] == [2 * any(map(str.isalpha, word)) for word in exact.words]
        if effect is None:
            assert chunk.isascii() and chunk.isalpha()
            assert exact[1:3] == ((0, False, 1, False), False)
        else:
            assert effect == exact.effect
            assert ties == TIED * exact.tied + BEGINS * exact.begins + ENDS * exact.ends


def shape(chunk):
    data, out, extras = np.frombuffer(chunk.encode(), np.uint8), np.zeros(64, np.uint8), np.zeros(64, np.int32)
    n, n_runs = shape_of(data, 0, len(data), hashes_of(splitter("en").named_runs), out, extras)
    return out[:n].tobytes().decode(errors="surrogateescape") if n_runs else chunk


@settings(max_examples=300)
@given(st.lists(CHUNKS, min_size=1, max_size=12))
def test_a_chunk_is_what_its_shape_says(chunks):
    assert_as_the_rules_say(chunks)


@settings(max_examples=300)
@given(CHUNKS)
def test_a_chunk_is_what_spacy_says(chunk):
    assert told([chunk])[0][0] == tuple(token.text for token in SPACY(chunk))


@settings(max_examples=300)
@given(CHUNKS)
def test_the_example_of_a_shape_has_this_shape_and_is_no_longer_than_the_chunk(chunk):
    assert shape(example_of(shape(chunk))) == shape(chunk)
    assert len(example_of(shape(chunk))) <= len(chunk)


@pytest.mark.parametrize("run", ["paper", "Paper", "PAPER", "iPhone", "McD", "47", "1234567"])
def test_every_mark_before_between_and_behind_runs(run):
    marks = [*string.punctuation, *ODD]
    pairs = [*marks, *map("".join, itertools.product(marks[::3], marks[1::3]))]
    chunks = [chunk for mark in pairs for chunk in (mark + run, run + mark, f"{run}{mark}abc", f"{run}{mark}22{mark}")]
    assert_as_the_rules_say(chunks)


def test_chunks_of_one_shape_are_learned_once():
    table = ChunkTable(splitter("en"))
    n = len(table)
    assert told(["well-known,", "half-reading,"], table)[1][0] == ("half", "-", "reading", ",")
    assert len(table) == n + 1
    assert told(["(2021)", "(19999)", "(PAPER)", "(Paper)", "(McDonald)"], table)[4][0] == ("(", "McDonald", ")")
    assert len(table) == n + 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("paper,", "Paper,"),  # a capital may follow a full stop that cuts
        ("paper.", "PAPER."),
        ("host.paper/", "host.Paper/"),  # only lower case ends a host
        ("a.paper:22", "a.paper:222222"),  # a port has 2 to 5 digits
        ("that'll", "them'll"),  # the first is a special case
        ("5kmh", "5kmx"),  # the first is a unit
        ("11.22.33.44/x", "11.22.33.444/x"),  # the first is an address
        ("p" * 62 + ".a", "p" * 63 + ".a"),  # too long for runs to be replaced
        ("a-b", "c-b"),
    ],
)
def test_chunks_of_different_shapes(one, other):
    assert shape(one) != shape(other)
    assert_as_the_rules_say([one, other])
    assert_as_the_rules_say([other, one])


def test_what_the_rules_name_stays_what_it_is():
    assert {"US", "kmh", "mph", "that", "10"} < set(splitter("en").named_runs)
    assert all(shape(run) == run for run in splitter("en").named_runs)
    assert all(shape(run) == chr(symbol) for symbol, run in EXAMPLES.items())


class CutsEveryThreeLetters:
    """A splitter whose rules see more of a run than its kind."""

    plain_letters, special_letters, named_runs, phrases = True, (), (), ()

    def chunk(self, chunk):
        words = tuple(chunk[i : i + 3] for i in range(0, len(chunk), 3))
        return Chunk(words, (0, False, 1, False), False, False, False)


def test_a_shape_whose_words_end_inside_a_run_is_left_for_python():
    chunks = pa.array(["paper,", "pa,", "ok"], pa.large_string())
    table = ChunkTable(CutsEveryThreeLetters())

    def kernel(texts, rows, status, *rest):
        for row in rows:
            status[row], _ = split(texts.data, texts.starts[row], texts.stops[row], *rest)

    assert table.run(kernel, chunks).tolist() == []  # "qz,"
    assert table.run(kernel, pa.array(["-,paper", "a, 22"], pa.large_string())).tolist() == [0]  # "-,q" and "z"
