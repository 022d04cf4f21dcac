"""Documents in another language: pieces and lines, the language of the whole, and the reasons of what is not taken."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.score_threshold import quantile
from stages.models.engine import Failure, Request
from stages.rate.perplexity import Perplexity
from stages.rephrase.segments import count_words
from stages.synthesize.pieces import Piece, joined, pieces_of, read_piece
from stages.synthesize.translate import Translate
from tests.stages.rephrase.writers import SPEC, Writer, user
from tests.stages.synthesize.replies import MILL, Said, cut, documents, write, written

GERMAN = (
    "Die Wassermühle in Lenham wurde 1842 aus grauem Stein gebaut. Ihr Rad ist 6 Meter hoch und drehte zwei Paar "
    "Steine. Sie mahlte Mehl für das ganze Tal, bis die Eisenbahn kam und der Müller sie schloss."
)
ONE_LINE = count_words([MILL])[0]
PAGE = f"The mill\n\n{MILL}\n\n  - It is old.\n  - 1842\n\n***\nIt is closed."
SEITE = f"Die Mühle\n\n{GERMAN}\n\n  - Sie ist alt.\n  - 1842\n\n***\nSie ist geschlossen."


def given(request: Request) -> str:
    return user(request).partition("\n\n")[2]


def line_by_line(request: Request) -> str:
    """A faithful translator into German."""
    words = {
        "The mill": "Die Mühle",
        MILL: GERMAN,
        "- It is old.": "- Sie ist alt.",
        "It is closed.": "Sie ist geschlossen.",
    }
    return "\n".join(words[line] for line in given(request).split("\n"))


def german(table: Any, say: Said | Callable[[Request], Said], **settings: Any) -> list[dict[str, Any]]:
    return write(Translate, table, say, **{"languages": ("de",), **settings})


@pytest.mark.parametrize("limit", [5, 20, 60, 1000])
def test_pieces_are_the_text_again(limit: int) -> None:
    for text in (PAGE, f"\n\n{PAGE}\n", "  indented. And more of it.\n\ttab", "1\n2\n\n"):
        pieces = pieces_of(text, limit, count_words)
        assert joined(pieces, [piece.text for piece in pieces]) == text


def test_a_long_line_is_runs_of_sentences() -> None:
    pieces = pieces_of(f"  {MILL}\nShort.", 30, count_words)
    assert [piece.text for piece in pieces] == [
        "  The water mill at Lenham was built in 1842 of grey stone.",
        "Its wheel is 6 metres high and turned two pairs of stones.",
        "It ground flour for the whole valley until the railway came and the miller closed it.",
        "Short.",
    ]
    assert [piece.joint for piece in pieces] == ["", "", "\n", "\n"]
    assert joined(pieces, ["a", "b", "c", "d"]) == "a b c\nd"
    assert joined(pieces, ["a", "b", "c", "d"], "") == "abc\nd"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("eins\nzwei", "  eins\n\n1\nzwei"),
        ("eins\n\n\nzwei\n", "  eins\n\n1\nzwei"),
        ("Here is the translation:\n\neins\nzwei", "  eins\n\n1\nzwei"),
        ("Sure!\n\nHere is the translation:\neins\nzwei", None),
        ('"eins\nzwei"', "  eins\n\n1\nzwei"),
        ('"\neins"', '  "\n\n1\neins"'),
        ("eins zwei", None),
        ("eins\nzwei\ndrei", None),
        ("", None),
    ],
)
def test_a_reply_has_the_lines_of_its_piece(reply: str, text: str | None) -> None:
    assert read_piece(reply, Piece("  one\n\n1\ntwo", "\n")) == text


def test_a_line_that_reads_like_an_opening_stays() -> None:
    assert (
        read_piece("Here are the results:\nzwei", Piece("Voici les résultats :\ndeux", ""))
        == "Here are the results:\nzwei"
    )
    assert read_piece("„Ja“", Piece('"Yes"', "")) == "„Ja“"


def test_a_document_keeps_its_paragraphs() -> None:
    (row,) = german(documents(PAGE), line_by_line)
    assert row["text"] == SEITE
    assert (row["lang"], row["variant"], row["parents"], row["drop_reason"]) == ("de", "translated de", ["d0"], None)
    assert row["lang_score"] > 0.65
    assert row["parent_text"] == PAGE


def test_pieces_are_asked_for_one_by_one_and_are_one_row() -> None:
    engine = Writer(line_by_line)
    (row,) = written(Translate(engine=SPEC, languages=("de",), piece_tokens=ONE_LINE), documents(PAGE), engine)
    assert row["text"] == SEITE
    assert sorted(given(request) for request in engine.asked) == sorted(
        ["The mill", MILL, "- It is old.\nIt is closed."]
    )
    assert row["answers"][0]["calls"] == 3


def test_every_language_is_a_row() -> None:
    spanish = (
        "El molino de agua de Lenham fue construido en 1842 de piedra gris. Su rueda tiene 6 metros de altura y movía "
        "dos pares de piedras. Molía harina para todo el valle hasta que llegó el ferrocarril y el molinero lo cerró."
    )
    engine = Writer(lambda request: GERMAN if "into German" in user(request) else spanish)
    rows = written(Translate(engine=SPEC, languages=("de", "es", "fr")), documents(MILL), engine)
    assert [(row["variant"], row["drop_reason"]) for row in rows] == [
        ("translated de", None), ("translated es", None), ("translated fr", "translation_language"),
    ]  # fmt: skip
    assert [row["lang"] for row in rows] == ["de", "es", "es"]
    assert len({row["id"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("guard_empty", "  "),
        ("guard_truncated", cut(GERMAN[:150])),
        ("guard_refusal", "Es tut mir leid, aber ich kann dabei nicht helfen. I'm sorry, but I cannot help with that."),
        ("guard_leak", f"{GERMAN}<|im_end|>"),
        ("guard_length_ratio", "Mühle."),
        ("guard_length_ratio", GERMAN * 7),
        ("guard_novel_number", GERMAN.replace("1842", "1843")),
        ("guard_novel_url", f"{GERMAN} www.example.org/muehle"),
        ("guard_repetition", "Die Mühle steht am Fluss in dem Tal. " * 8),
        ("translation_lines", GERMAN.replace(". ", ".\n")),
        ("translation_unchanged", MILL),
        ("translation_language", MILL.replace("grey", "gray")),
        (
            "translation_language",
            "Le moulin à eau de Lenham fut bâti en 1842 en pierre grise et sa grande roue mesure 6 mètres de haut.",
        ),
    ],
)
def test_what_is_not_taken_is_dropped_with_the_reason(reason: str, reply: Said) -> None:
    (row,) = german(documents(MILL), reply)
    assert (row["drop_reason"], row["error"], row["parents"]) == (reason, None, ["d0"])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_a_prefix_that_is_asked_for(tmp_path: Any) -> None:
    file = tmp_path / "p.yaml"
    file.write_text('name: p\nversion: 1\nuser: "To {{language}}:\\n\\n{{text}}"\nprefix: "Here:"\n')
    (row,) = german(documents(MILL), GERMAN, prompt=str(file))
    assert row["drop_reason"] == "guard_prefix"
    (row,) = german(documents(MILL), f"Here: {GERMAN}", prompt=str(file))
    assert (row["drop_reason"], row["text"]) == (None, GERMAN)


def test_a_language_that_is_not_sure_enough() -> None:
    (row,) = german(documents(MILL), GERMAN, threshold=1.0)
    assert row["drop_reason"] == "translation_language_score"
    (row,) = german(documents(MILL), GERMAN, threshold=1.0, language_chars=1000)
    assert row["drop_reason"] is None


def test_one_piece_that_fails_is_the_documents_failure() -> None:
    def say(request: Request) -> Said:
        return Failure("gone") if "closed" in given(request) and len(given(request)) < 40 else line_by_line(request)

    (row,) = german(documents(PAGE), say, piece_tokens=ONE_LINE)
    assert (row["error"], row["drop_reason"], row["answers"][0]["calls"]) == (
        "Failure: translate, de, 2: gone",
        None,
        2,
    )
    (row,) = german(
        documents(PAGE), lambda request: "zu\nviele\nZeilen" if "mill" in given(request) else line_by_line(request)
    )
    assert row["drop_reason"] == "translation_lines"


def test_documents_that_are_not_shown() -> None:
    rows = german(documents("", None, "1842 + 3 = ?", GERMAN), "no")
    assert [row["drop_reason"] for row in rows] == [
        "document_empty", "document_empty", "document_no_letters", "document_language",
    ]  # fmt: skip
    assert {row["answers"] for row in rows} == {None}


def test_a_title_in_the_other_language_does_not_go_on() -> None:
    (row,) = german(documents(MILL, title=["The mill"], lang=["en"]), GERMAN)
    assert (row["title"], row["lang"]) == (None, "de")


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"Translate: what is 'gsw' called\? Set names={gsw: its English name}"):
        Translate(engine=SPEC, languages=("gsw",))
    with pytest.raises(ValueError, match=r"lid.176.ftz does not know 'tlh'"):
        Translate(engine=SPEC, languages=("tlh",), names={"tlh": "Klingon"})
    with pytest.raises(ValueError, match=r"Translate.languages should be labels, each once"):
        Translate(engine=SPEC, languages=("de", "de"))
    assert Translate(engine=SPEC, languages=("als",), names={"als": "Alemannic"}).language_checksum


def test_the_least_likely_quarter_is_dropped(tmp_path: Any) -> None:
    """methods 15: NLL 1, 2, 3, 10, keep the quantile 0.75 -> the first three."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"perplexity": [1.0, 2.0, 3.0, 10.0]}), tmp_path / "scores.parquet")
    found = quantile([str(tmp_path)], "perplexity", 0.75)
    limit = float(found["set"][1].removeprefix("SelectByScore.above="))
    stage = Perplexity(engine=SPEC, max_perplexity=limit)
    assert [stage.reason(value) for value in (1.0, 2.0, 3.0, 10.0)] == [None, None, None, "perplexity_high"]
