import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.pipeline.formatters import PIIFormatter
from hypothesis import given
from hypothesis import strategies as st

from schemas import columns as c
from stages.pii import EMAILS, IPS, Pii, find_emails, find_ips, mask
from stages.stage import Stage, check

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GOLDEN = "mail a@b.com, c.d@e.org and x@y.net; ips 8.8.8.8, 192.168.0.1, 1.1.1.1"


def rows(*texts: str | None, first: int = 0) -> pa.Table:
    return pa.table({"id": [str(first + i) for i in range(len(texts))], "text": pa.array(texts, c.TEXT)})


def their_spans(text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where datatrove finds e-mails, and IPs in the text as it is."""
    formatter = PIIFormatter()
    ips = formatter.ip_replacer
    return (
        [m.span() for m in formatter.emails_replacer.regex.finditer(text)],
        [m.span() for m in ips.regex.finditer(text) if ips.validator(m.group())],
    )


def test_is_a_stage():
    schema = check((Pii(),), pa.schema([c.ID, c.BODY]))
    assert isinstance(Pii(), Stage)
    result = Pii().open()(rows(GOLDEN, None))
    assert all(result.schema.field(f.name).type == f.type for f in schema)


def test_golden_case_of_datatrove():
    text, edits = mask(GOLDEN, "id")
    words = re.split("[ ,;]+", text)
    shape = [w if w not in (*EMAILS, *IPS) else "E" if w in EMAILS else "I" for w in words]
    assert shape == ["mail", "E", "E", "and", "E", "ips", "I", "192.168.0.1", "I"]
    assert [(e.rule, e.n_chars_before, e.n_chars_after == len(text)) for e in edits] == [
        ("email", len(GOLDEN), False),
        ("ip", edits[0].n_chars_after, True),
    ]


def test_replacement_depends_on_id_and_place_only():
    table = rows(*[GOLDEN] * 30)
    texts = Pii().open()(table).column("text").to_pylist()
    backwards = Pii().open()(table.take(list(range(29, -1, -1)))).column("text").to_pylist()
    assert backwards[::-1] == texts
    assert len(set(texts)) > 20
    assert {word for text in texts for word in re.split("[ ,;]+", text)} > {*EMAILS, *IPS}


def test_edits_are_appended_and_lengths_updated():
    table = rows("a@b.com", "nothing", None, "8.8.8.8").append_column(
        c.EDITS,
        pa.array(
            [[{"stage": "Earlier", "rule": "r", "n_chars_before": 9, "n_chars_after": 7}], None, None, None],
            c.EDITS.type,
        ),
    )
    result = Pii().open()(table)
    texts = result.column("text").to_pylist()
    assert texts[1:3] == ["nothing", None]
    assert result.column("n_chars").to_pylist() == [len(texts[0]), 7, None, len(texts[3])]
    edits = result.column("edits").to_pylist()
    assert [[(e["stage"], e["rule"]) for e in row or []] for row in edits] == [
        [("Earlier", "r"), ("Pii", "email")], [], [], [("Pii", "ip")]
    ]  # fmt: skip
    assert edits[3][0]["n_chars_before"] == 7


@pytest.mark.parametrize(
    ("stage", "kept"), [(Pii(emails=False), "a@b.com"), (Pii(ips=False), "8.8.8.8"), (Pii(False, False), "8.8.8.8")]
)
def test_rules_can_be_switched_off(stage, kept):
    assert kept in stage.open()(rows("a@b.com 8.8.8.8")).column("text")[0].as_py()


def test_empty_and_chunked_tables():
    assert Pii().open()(rows()).num_rows == 0
    table = pa.concat_tables([rows("x"), rows("a@b.com", first=1), rows(None, first=2)])
    assert Pii().open()(table).column("text").to_pylist()[::2] == ["x", None]


def test_a_replacement_is_not_an_edit_when_it_is_the_same():
    unchanged = [edits for text, edits in (mask(EMAILS[0], str(i)) for i in range(20)) if text == EMAILS[0]]
    assert unchanged and not any(unchanged)


@pytest.mark.parametrize(
    "text",
    [
        "a@b.com@c.org x@y.z@",
        "..a..b.c@d.e",
        ".a.@b.c",
        "éa@b.c é-a@b.c _a@b.c",
        "a@[1.2.3.4] a@[1.2.3.x:]",
        "@b.c a@",
        "a@b a@-b.c a@b-.c a@b..c",
        "1.2.3.4.5 999.1.1.1 01.2.3.4 10.0.0.1 8.8.8.8.",
        "a@b.c.d.",
        "--@a.b -a@b.c a'b@c.d",
    ],
)
def test_same_places_as_datatrove(text):
    assert (list(find_emails(text)), list(find_ips(text))) == their_spans(text)


@given(st.text(alphabet="a1-.@é[]_ !:", max_size=30))
def test_same_places_as_datatrove_in_any_text(text):
    assert (list(find_emails(text)), list(find_ips(text))) == their_spans(text)


@pytest.mark.timeout(20)
def test_long_text_without_addresses_is_no_trap():
    base64 = "ab/cd+ef=" * 100_000
    assert list(find_emails(f"{base64}@ {base64}@x.org")) == [(len(base64) + 2, 2 * len(base64) + 8)]


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
def test_same_places_as_datatrove_in_real_texts():
    texts = pq.read_table(DATA / "pages-dev.truth.parquet", columns=["text"]).column("text").drop_null().to_pylist()
    ours = [(list(find_emails(text)), list(find_ips(text))) for text in texts]
    assert ours == [their_spans(text) for text in texts]
    assert sum(len(emails) for emails, _ in ours) > 50
