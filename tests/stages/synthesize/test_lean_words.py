"""How far a text keeps to a list of words: forms of words, names, and the threshold."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.rephrase.rephrase import Rephrase
from stages.stage import identity
from stages.synthesize.lean_words import BUNDLED, LeanWords, bases_of, read_words, words_of
from tests.stages.rephrase.writers import SPEC, Writer, asker


def rate(*texts: str | None, **settings: Any) -> list[tuple[float | None, int, str | None]]:
    table = LeanWords(**settings).open()(pa.table({"text": pa.array(texts, c.TEXT)}))
    names = ("rare_word_rate", "vocabulary_size", "drop_reason")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def test_rates_and_sizes() -> None:
    assert rate(
        "The old mill stands beside the water.",
        "Photosynthesis transduces light.",
        "The water, the WATER, the water!",
        "",
        None,
        "1842 + 2",
    ) == [
        (0.0, 6, None),
        (pytest.approx(2 / 3), 3, None),
        (0.0, 2, None),
        (None, 0, None),
        (None, 0, None),
        (None, 0, None),
    ]


def test_names_do_not_count_but_the_beginnings_of_sentences_do() -> None:
    assert list(words_of("It was John Smith's. \"Zounds!\" he said. I'm Ann.\nKent is far")) == [
        "it", "was", "zounds", "he", "said", "i'm", "kent", "is", "far",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("mills", "mill"), ("boxes", "box"), ("tries", "try"), ("walked", "walk"), ("used", "use"), ("stopped", "stop"),
        ("tried", "try"), ("walking", "walk"), ("making", "make"), ("running", "run"), ("taller", "tall"),
        ("bigger", "big"), ("happiest", "happy"), ("nicest", "nice"), ("kindly", "kind"), ("simply", "simple"),
        ("easily", "easy"), ("mill's", "mill"),
    ],
)  # fmt: skip
def test_regular_forms(word: str, base: str) -> None:
    assert base in set(bases_of(word))
    assert base in read_words(str(BUNDLED))
    assert rate(word) == [(0.0, 1, None)]
    assert rate(word, inflect=False)[0][0] in (0.0, 1.0)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# remarks\nMühle Fluss\nam steht die\n", encoding="utf-8")
    assert rate("die mühle steht am fluss, plätschernd", vocabulary=str(file)) == [(pytest.approx(1 / 6), 6, None)]
    file.write_text("# remarks\n")
    read_words.cache_clear()
    with pytest.raises(ValueError, match=r"LeanWords.vocabulary: .*words.txt has no words"):
        LeanWords(vocabulary=str(file))
    with pytest.raises(ValueError, match=r"LeanWords.vocabulary: nowhere.txt: .*No such file"):
        LeanWords(vocabulary="nowhere.txt")


def test_a_rate_above_the_limit_is_a_reason() -> None:
    texts = ("The mill stands.", "The zymurgy stands.")
    assert [why for _, _, why in rate(*texts, most=1 / 3)] == [None, None]
    assert [why for _, _, why in rate(*texts, most=0.3)] == [None, "rare_words"]
    with pytest.raises(ValueError, match=r"LeanWords.most should be from 0 to 1, or null, got 2"):
        LeanWords(most=2)


def test_the_list_is_part_of_the_stages_identity(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("mill wheel")
    other.write_text("mill")
    hashes = [LeanWords(vocabulary=str(file)).vocabulary_hash for file in (one, other)]
    assert len(set(hashes)) == 2
    assert identity(LeanWords(vocabulary=str(one)))["settings"]["vocabulary_hash"] == hashes[0]


def test_the_style_writes_and_the_measure_falls() -> None:
    source = "The edifice, erected by artisans in 1842, subsequently deteriorated and was ultimately demolished."
    lean = "Workers built the house in 1842. Then it got old and bad, and in the end it was pulled down."
    table = pa.table({"id": ["d0"], "text": pa.array([source], c.TEXT)})
    stage = Rephrase(styles=("leaner",), mix=False, tokens="words", engine=SPEC)
    out = stage.asking(asker(Writer(lambda _: lean)))(table)
    assert out.column("text").to_pylist() == [lean]
    before, after = rate(source, lean)
    assert before[0] > 0.5
    assert after[0] == 0.0
