"""Pages that are dropped before their text is extracted, and those that must not be."""

from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.screen import Screen
from stages.stage import Stage, check, identity

ENGLISH = "The mill stands by the river, and the wheel turns all day long while the miller sleeps. "
GERMAN = "Die Mühle steht am Fluss, und das Rad dreht sich den ganzen Tag, während der Müller schläft. "
NUMBERS = " ".join(map(str, range(100)))
MENU = "<li>Home</li><li>About us</li><li>Terms of use</li>"
OFF: dict[str, Any] = {"language_bound": None, "min_words": None, "min_stop_words": None}


def page(text: str, times: int = 4) -> str:
    return f"<html><head><script>if (a < b) the(of);</script></head><body>{MENU}" + f"<p>{text}</p>" * times


def rows(stage: Screen, *html: str | None, **more: pa.Array) -> list[dict[str, Any]]:
    table = pa.table({"id": [str(i) for i in range(len(html))], "html": pa.array(html, c.TEXT), **more})
    found: list[dict[str, Any]] = stage.open()(table).to_pylist()
    return found


def reasons(stage: Screen, *html: str | None) -> list[str | None]:
    return [row["drop_reason"] for row in rows(stage, *html)]


def test_is_a_stage() -> None:
    check((Screen(),), pa.schema([c.ID, c.HTML]))
    assert isinstance(Screen(), Stage)


def test_pages_in_the_language_pass_and_rows_without_a_page() -> None:
    assert reasons(Screen(), page(ENGLISH), None) == [None, None]


def test_reason_screen_language() -> None:
    found = rows(Screen(), page(GERMAN), page(ENGLISH))
    assert [row["drop_reason"] for row in found] == ["screen_language", None]
    assert [row["lang"] for row in found] == ["de", None]  # what else passes is for Language to say
    assert reasons(Screen(languages=("de",), min_stop_words=None), page(GERMAN), page(ENGLISH)) == [
        None,
        "screen_language",
    ]


def test_reason_screen_short_doc() -> None:
    # 16 words could be 48 to spaCy, 17 could be 51.
    pages = [f"<script>{ENGLISH}</script><p>" + "the of " * n for n in (8, 9)]
    assert reasons(Screen(language_bound=None), *pages) == ["screen_short_doc", None]
    assert reasons(Screen(language_bound=None, min_words=55), *pages) == ["screen_short_doc", "screen_short_doc"]


def test_reason_screen_stop_words() -> None:
    stage = Screen(language_bound=None)
    assert reasons(stage, f"<p>The {NUMBERS} the", f"<p>the {NUMBERS} of") == ["screen_stop_words", None]
    german = Screen(language_bound=None, stop_words=("der", "für", "bei dem"))
    # Words that are not of letters alone are not looked for: they count as found.
    assert reasons(german, f"<p>{NUMBERS}", f"<p>f&uuml;r {NUMBERS}") == ["screen_stop_words", None]


def test_language_is_that_of_prose_not_of_menus() -> None:
    menu = "".join(f"<li>{word}</li>" for word in GERMAN.split() * 20)
    assert reasons(Screen(), f"<body>{menu}<p>{ENGLISH}</p><p>{ENGLISH}</p>{menu}") == [None]


def test_score_must_be_above_the_bound() -> None:
    score = rows(Screen(**OFF | {"language_bound": 0.5}), page(GERMAN))[0]["lang_score"]
    assert 0.9 < score < 1
    assert reasons(Screen(**OFF | {"language_bound": score}), page(GERMAN)) == [None]
    assert reasons(Screen(**OFF | {"language_bound": score - 0.001}), page(GERMAN)) == ["screen_language"]


def test_each_test_can_be_switched_off() -> None:
    pages = [page(GERMAN), "<p>the of", f"<p>{NUMBERS}"]
    assert reasons(Screen(), *pages) == ["screen_language", "screen_short_doc", "screen_stop_words"]
    assert reasons(Screen(language_bound=None), *pages)[0] == "screen_stop_words"
    assert reasons(Screen(min_words=None), *pages)[1] is None
    assert reasons(Screen(min_stop_words=None), *pages)[2] is None
    assert rows(Screen(**OFF), pages[0]) == [
        {"id": "0", "html": pages[0], "lang": None, "lang_score": None, "drop_reason": None}
    ]
    assert reasons(Screen(languages=(), min_words=None, min_stop_words=None), *pages) == [None, None, None]


def test_page_without_prose_has_no_language() -> None:
    found = rows(Screen(), MENU * 40)
    assert [(row["lang"], row["lang_score"], row["drop_reason"]) for row in found] == [
        (None, None, "screen_stop_words")
    ]


def test_page_with_many_stop_words_is_not_asked_for_its_language() -> None:
    mixed = f"<p>{GERMAN}</p>" * 5 + f"<p>{ENGLISH} of that</p>" + f"<p>{GERMAN}</p>" * 20
    assert reasons(Screen(), mixed) == [None]
    assert reasons(Screen(min_stop_words=None), mixed) == ["screen_language"]


def test_language_that_is_known_already_stays_where_there_is_no_page() -> None:
    known = {"lang": pa.array(["fr", "fr"]), "lang_score": pa.array([0.5, 0.5], pa.float32())}
    found = rows(Screen(), None, page(GERMAN), **known)
    assert [row["lang"] for row in found] == ["fr", "de"]
    assert found[0]["lang_score"] == 0.5


def test_tables_in_chunks_and_empty_ones() -> None:
    html = pa.chunked_array([pa.array([page(GERMAN)], c.TEXT), pa.array([None, page(ENGLISH)], c.TEXT)])
    table = pa.table({"id": ["0", "1", "2"], "html": html})
    transform = Screen().open()
    assert transform(table).column("drop_reason").to_pylist() == ["screen_language", None, None]
    assert transform(table.slice(0, 0)).num_rows == 0
    assert transform(table.slice(0, 2)).column("lang").to_pylist() == ["de", None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": "en"}, r"languages should be a tuple, such as \('en',\), got 'en'"),
        ({"stop_words": "the"}, r"stop_words should be a tuple, such as \('the',\), got 'the'"),
        ({"sample_bytes": 0}, "sample_bytes should be above 0, got 0"),
        ({"language_bound": 1.5}, "language_bound should be between 0 and 1, or null, got 1.5"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Screen(**settings)


def test_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="does not know 'english'"):
        Screen(languages=("english",)).open()


def test_model_is_part_of_the_identity_only_where_it_is_used() -> None:
    assert len(identity(Screen())["settings"]["model_checksum"]) == 64
    assert identity(Screen(language_bound=None))["settings"]["model_checksum"] == ""
