import pyarrow as pa
import pytest
from datatrove.pipeline.filters import FineWebQualityFilter

from schemas import columns as c
from stages.c4_quality import C4Quality
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
from stages.stage import Stage, check, identity, settings_of
from tests.stages.prose import MILL, TEXTS, defaults, real_texts, table, theirs, verdicts

LINE = "This line has more than thirty characters"

CASES = [
    (MILL, None),
    ("", "empty"),
    (" \n\t\n", "empty"),
    ("\n".join(f"{LINE} and number {n}" for n in range(9)), "line_punct_ratio"),
    ("\n".join(f'{LINE} and number {n}."' for n in range(9)), "line_punct_ratio"),
    ("\n".join(f"Line number {n}." for n in range(9)), "short_line_ratio"),
    ("\n".join([f"{LINE}."] * 2 + [f"{LINE} and number {n}." for n in range(9)]), "char_dup_ratio"),
    ("\n\n\n\n".join(f"{LINE}, {n}." for n in range(9)), "list_ratio"),
    ("这一行有三十多个字。" * 5, None),
]


@pytest.mark.parametrize(("text", "reason"), CASES, ids=[f"{i} {reason}" for i, (_, reason) in enumerate(CASES)])
def test_every_reason(text, reason):
    assert verdicts(FineWebQuality(), text) == [(reason, text)]
    assert theirs(FineWebQualityFilter(language="en"), text) == (reason, text)


def test_settings_and_defaults_are_datatroves():
    assert settings_of(FineWebQuality()) == {**defaults(FineWebQualityFilter), "language": "en"}


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"line_punct_thr": 0.5, "line_punct_exclude_zero": True, "char_duplicates_ratio": 0.1},
        {"stop_chars": (",", "!?", "»"), "short_line_length": 60, "short_line_thr": 0.5},
        {"line_punct_thr": 0.0, "short_line_thr": 1.0, "char_duplicates_ratio": 1.0, "new_line_ratio": 0.08},
    ],
    ids=str,
)
def test_texts_are_judged_as_datatrove_does(settings_):
    block = FineWebQualityFilter(**settings_, language="en")
    texts = [*TEXTS, *(text for text, _ in CASES)]
    assert verdicts(FineWebQuality(**settings_), *texts) == [theirs(block, text) for text in texts]


def test_real_texts_are_judged_as_datatrove_does():
    texts = real_texts(5)
    block = FineWebQualityFilter(language="en")
    assert verdicts(FineWebQuality(), *texts) == [theirs(block, text) for text in texts]


ALL = [GopherRepetition, GopherQuality, C4Quality, FineWebQuality]


@pytest.mark.parametrize("cls", ALL)
def test_each_filter_is_a_stage_with_the_columns_it_names(cls):
    assert isinstance(cls(), Stage)
    schema = check((cls(),), pa.schema([c.ID, c.BODY]))
    for rows in (table(), table(MILL, None, "", chunked=True)):
        result = cls().open()(rows.append_column(c.ID, pa.array(map(str, range(rows.num_rows)), pa.string())))
        assert result.num_rows == rows.num_rows
        for field in cls.adds:
            if not (field.name == "edits" and rows.num_rows == 0):
                assert result.schema.field(field.name).type == schema.field(field.name).type


@pytest.mark.parametrize("cls", ALL)
def test_the_language_is_a_setting_and_part_of_the_identity(cls):
    assert cls(language="de").open()(table("Der Müller.")).num_rows == 1
    assert cls(language="unicode").open()(table("磨坊在村下。")).num_rows == 1
    assert identity(cls(language="de")) != identity(cls())
    with pytest.raises(ValueError, match="language='unicode'"):
        cls(language="zh")


@pytest.mark.parametrize("cls", ALL)
def test_a_null_text_is_judged_like_an_empty_one_and_stays_null(cls):
    (null_reason, null_text), (empty_reason, _) = verdicts(cls(), None, "")
    assert null_reason == empty_reason is not None
    assert null_text is None
