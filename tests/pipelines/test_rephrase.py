"""The recipe `rephrase`, whole: by a model that writes what the test says, and by a real one that writes nonsense."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from stages.models.engine import Engine, Failure, Request
from stages.models.spec import Spec
from tests.runs import rows
from tests.stages.models.misbehaving import Script, Server
from tests.stages.rephrase.writers import SPEC, Writer, given

TEXTS = {
    "mill": "The water mill at Lenham was built in 1842. It ground 1,200 sacks of flour a year and closed in 1931.",
    "fair": "The fair comes to town in May. Its wheel is 30 metres high, and children ride it for free on Sundays.",
    "bell": "The bell of the church cracked in the winter of 1880. Nobody has heard it since, and nobody mended it.",
    "ford": "Below the ford the river is too deep to cross on foot. A rope was hung there once, but the flood took it.",
}


def write(request: Request) -> str | Failure:
    """Faithful but for the fair, where a number is made up; the server rejects the ford."""
    text = given(request)
    if "ford" in text:
        return Failure("HTTP 400: the content was filtered")
    return "In short, " + (text.replace("30", "300") if "fair" in text else text)


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of documents, and `write` as the engine of every address."""

    def opened(spec: Spec) -> Engine:
        return Writer(write)

    monkeypatch.setattr("stages.models.ask.open_engine", opened)
    pq.write_table(pa.table({"id": list(TEXTS), "text": list(TEXTS.values())}), tmp_path / "docs.parquet")
    return tmp_path


def run(folder: Path, *settings: str) -> tuple[int, list[str]]:
    sets = [f"Rephrase.engine={SPEC}", *settings]
    arguments = [argument for setting in sets for argument in ("--set", setting)]
    files = ["--input", str(folder / "docs.parquet"), "--output", str(folder / "out")]
    return main(["run", "rephrase", *files, "--max-dead", "1", "--json", *arguments]), arguments


def total(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1])["steps"][0])


def test_documents_and_their_rewrites(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(docs)[0] == 0
    step = total(capsys)
    assert (step["rows_in"], step["emitted"], step["out"], step["dead"]) == (4, 2, 5, 1)
    found = rows(docs / "out/rephrase/data")
    assert [(row["id"] if row["parents"] is None else row["parents"]) for row in found] == [
        "mill", ["mill"], "fair", "bell", ["bell"],
    ]  # fmt: skip
    assert [row["text"] for row in found if row["parents"]] == [f"In short, {TEXTS[name]}" for name in ("mill", "bell")]
    assert [(row["id"], row["answers"][0]["decision"]) for row in found if row["answers"] and not row["parents"]] == [
        ("fair", "original: guard_novel_number")
    ]
    (dead,) = rows(docs / "out/rephrase/dead")
    assert (dead["id"], dead["stage"]) == ("ford", "Rephrase")
    assert dead["error"] == "Failure: wrap-medium, segment 0: HTTP 400: the content was filtered"


def test_rewrites_in_place_of_documents(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("Rephrase.mix=false", "Rephrase.styles=[wrap-easy]", "Rephrase.guards={novel_numbers: 1}")
    assert run(docs, *settings)[0] == 0
    step = total(capsys)
    assert (step["rows_in"], step["emitted"], step["out"], step["dead"]) == (4, 0, 3, 1)
    found = {row["id"]: row for row in rows(docs / "out/rephrase/data")}
    assert {name: row["text"][:9] for name, row in found.items()} == dict.fromkeys(
        ("mill", "fair", "bell"), "In short,"
    )
    assert {row["edits"][0]["rule"] for row in found.values()} == {"wrap-easy"}


def test_a_confidence_is_written(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(docs, "Rephrase.confidence=0.2", "Rephrase.confidence_samples=1")[0] == 0
    capsys.readouterr()
    found = rows(docs / "out/rephrase/data")
    scores = [row["confidence_score"] for row in found if row["parents"]]
    assert scores == [pytest.approx(0.7 + 0.15)] * 2  # the same again, and a reply that is no letter
    assert {row["confidence_score"] for row in found if not row["parents"]} == {None}


def test_what_is_wrong_is_told_before_anything_starts(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(docs, "Rephrase.styles=[wrap-midium]")[0] == 2
    assert "Rephrase: no style 'wrap-midium'; did you mean 'wrap-medium'?" in capsys.readouterr().err
    assert run(docs, "Rephrase.guards={novel_numbr: 1}")[0] == 2
    assert "did you mean 'novel_numbers'?" in capsys.readouterr().err


def test_a_real_model_that_writes_nonsense_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny Llama with random weights, through the engine that runs real ones: every answer is told and rejected."""
    tiny = pytest.importorskip("tests.stages.models.tiny")
    folder = tiny.llama(tmp_path / "llama")
    pq.write_table(pa.table({"id": list(TEXTS), "text": list(TEXTS.values())}), tmp_path / "docs.parquet")
    engine = f"Rephrase.engine=transformers:{folder}?dtype=float32"
    assert run(tmp_path, engine, "Rephrase.temperature=0", "Rephrase.max_tokens=16")[0] == 0
    step = total(capsys)
    assert (step["rows_in"], step["emitted"], step["out"], step["dead"]) == (4, 0, 4, 0)
    found = rows(tmp_path / "out/rephrase/data")
    assert {row["id"]: row["text"] for row in found} == TEXTS
    answers = [row["answers"][0] for row in found]
    assert {a["decision"].partition(": ")[0] for a in answers} == {"original"}
    assert all(
        a["model"].startswith("llama@") and a["completion_tokens"] > 0 and a["output"] is not None for a in answers
    )


def test_a_second_run_with_the_same_ledger_asks_nothing(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the row that failed: a failure is no answer."""
    arguments = ["--input", str(docs / "docs.parquet"), "--max-dead", "1", "--set", f"Rephrase.engine={SPEC}"]
    for out in ("one", "two"):
        ledger = ["--ledger", str(docs / "answers")]
        assert main(["run", "rephrase", *arguments, *ledger, "--output", str(docs / out)]) == 0
    capsys.readouterr()
    one, two = (rows(docs / out / "rephrase/data") for out in ("one", "two"))
    assert [row["text"] for row in one] == [row["text"] for row in two]
    counts = [[(a["calls"], a["from_ledger"]) for row in found for a in row["answers"] or ()] for found in (one, two)]
    assert counts == [[(1, 0)] * 3, [(1, 1)] * 3]


def test_a_server_that_misbehaves_is_asked_until_it_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over HTTP: a 503 is asked again, a 400 kills the one row, an answer that is cut leaves the original."""

    def answer(prompt: str) -> str:
        return f"In short, {prompt.partition(chr(10) * 2)[2]}"

    acts = {"water mill": ["503", "reset", "ok"], "ford": ["400"], "fair": ["length"]}
    pq.write_table(pa.table({"id": list(TEXTS), "text": list(TEXTS.values())}), tmp_path / "docs.parquet")
    with Server(Script(acts, answer=answer)) as server:
        assert (
            run(tmp_path, f"Rephrase.engine={server.engine()}", "Rephrase.tokens=words", "Rephrase.mix=false")[0] == 0
        )
        asked = {next(n for n in TEXTS if n in prompt): count.acts for prompt, count in server.counts().items()}
        assert asked == {"mill": ["503", "reset", "ok"], "fair": ["length"], "bell": ["ok"], "ford": ["400"]}
    step = total(capsys)
    assert (step["rows_in"], step["out"], step["dead"]) == (4, 3, 1)
    found = {row["id"]: row for row in rows(tmp_path / "out/rephrase/data")}
    assert {name: row["answers"][0]["decision"] for name, row in found.items()} == {
        "mill": "rewritten", "fair": "original: guard_truncated", "bell": "rewritten",
    }  # fmt: skip
    assert found["mill"]["text"] == f"In short, {TEXTS['mill']}"


def test_a_server_without_a_tokenizer_is_told_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"id": list(TEXTS), "text": list(TEXTS.values())}), tmp_path / "docs.parquet")
    assert run(tmp_path, "Rephrase.engine=openai:http://127.0.0.1:9/v1#m")[0] == 2
    assert "set Rephrase.tokens=words" in capsys.readouterr().err
