"""The audit's own numbers: against plain sets of words, by hand on verdicts that are given, and as a command."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from pipelines import audit as audits
from pipelines.audit import Similarity, Verdicts, as_text, audit
from pipelines.cli import main
from pipelines.planted import KINDS, Kind, Pair, Planted, generate

EXACT, SHUFFLED = KINDS[0], KINDS[-1]
EDITED = Kind("edited", 0.05)
TEXT = " ".join(f"w{a}{b}" for a in "abcdefgh" for b in "abcdefgh")  # 64 words, 60 shingles


def replaced(*places: int) -> str:
    return " ".join(f"x{word}" if i in places else word for i, word in enumerate(TEXT.split()))


def test_similarity_is_that_of_plain_sets() -> None:
    texts = generate(4, seed=3)
    texts += [f"{texts[0]} {texts[1]}", texts[2][: len(texts[2]) // 2], TEXT, replaced(30), "too short"]
    similarity = Similarity(tuple(texts), 5)

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    for a in range(len(texts) - 1):
        for b in range(len(texts) - 1):
            one, other = shingles(texts[a]), shingles(texts[b])
            assert similarity(a, b) == pytest.approx(len(one & other) / len(one | other), abs=1e-12)
    assert similarity(6, 7) == 55 / 65
    assert similarity(8, 8) == 0.0


def given(monkeypatch: pytest.MonkeyPatch, verdicts: Verdicts, settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of a tiny set: a copy, two edited ones (55/65 and 35/85 alike), an order, two documents."""
    texts = (TEXT, "", replaced(*range(0, 64, 2)), TEXT, replaced(30), replaced(10, 20, 30, 40, 50), "other text")
    pairs = (Pair(EXACT, 0, 3), Pair(EDITED, 0, 4), Pair(EDITED, 0, 5), Pair(SHUFFLED, 2, 6))
    planted = Planted(("d0", "d1", "d2", "exact", "near", "far", "order"), texts, 3, pairs)
    monkeypatch.setattr(audits, "plant", lambda texts, seed: planted)
    monkeypatch.setattr(audits, "deduplicate", lambda recipe, planted: verdicts)
    monkeypatch.setattr(audits, "KINDS", (EXACT, EDITED, SHUFFLED))
    return audit([], 3, 0, settings)


def test_figures_are_right_on_verdicts_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts: Verdicts = {
        "d0": (None, "d0"), "exact": ("d0", "d0"), "near": (None, "d0"), "far": ("exact", "d0"),
        "d1": ("d2", "d1"), "d2": (None, "d1"), "order": (None, None),
    }  # fmt: skip
    found = given(monkeypatch, verdicts, {})
    exact, edited, shuffled = found["kinds"]
    assert exact == {
        "kind": "exact", "edited": 0.0, "pairs": 1, "jaccard": 1.0, "alike": 1.0, "found": 1.0, "curve": 1.0,
        "expected": 1.0, "recall": 1.0, "precision": 1.0,
    }  # fmt: skip
    near, far = 55 / 65, 35 / 85
    curve = [1 - (1 - s**8) ** 14 for s in (near, far)]
    assert edited["jaccard"] == pytest.approx((near + far) / 2)
    assert (edited["alike"], edited["found"]) == (0.5, 0.5)  # the near one is alike, the far one was found
    assert edited["curve"] == pytest.approx(sum(curve) / 2)
    assert edited["expected"] == pytest.approx(curve[0] / 2)
    assert (edited["recall"], edited["precision"]) == (0.0, 0.0)
    assert (shuffled["jaccard"], shuffled["found"], shuffled["recall"], shuffled["precision"]) == (0, 0, None, None)
    assert found["recall"] == 0.5  # of exact and near
    assert (found["removed"], found["precision"]) == (3, 1 / 3)  # exact is alike; far and d1 are not
    assert found["wrong"] == 1  # far is of d0, as exact is; d1 is nothing of d2
    assert found["wrong_examples"] == [{"id": "d1", "duplicate_of": "d2", "jaccard": 0.0}]
    assert found["kept"] == {"documents": 2, "copies": 1, "shuffled": 1}
    assert (found["documents"], found["planted"], found["copies"], found["threshold"]) == (3, 4, 3, 0.7)


def test_without_verification_half_of_the_curve_is_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts: Verdicts = dict.fromkeys(("d0", "d1", "d2", "exact", "near", "far", "order"), (None, None))
    settings = {"NearDuplicates": {"verify": None}, "MinHashBands": {"num_buckets": 16, "hashes_per_bucket": 4}}
    found = given(monkeypatch, verdicts, settings)
    assert found["threshold"] == 0.5  # (1/16)^(1/4)
    edited = found["kinds"][1]
    assert (
        edited["expected"]
        == edited["curve"]
        == pytest.approx(sum(1 - (1 - s**4) ** 16 for s in (55 / 65, 35 / 85)) / 2)
    )
    assert (found["recall"], found["precision"], found["removed"], found["wrong"]) == (0.0, None, 0, 0)
    assert "not verified; pairs of Jaccard 0.50 are alike" in as_text(found)


def test_command_audits_made_up_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "dedup", "--documents", "84", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert (found["documents"], found["planted"], found["wrong"]) == (84, 42, 0)
    by_kind = {(kind["kind"], kind["edited"]): kind for kind in found["kinds"]}
    assert by_kind["exact", 0.0]["found"] == 1.0
    assert by_kind["edited", 0.01]["found"] == 1.0
    assert [by_kind[kind, 0.0]["found"] for kind in ("longer", "half", "shuffled")] == [0, 0, 0]
    assert by_kind["edited", 0.3]["found"] == 0.0
    assert found["kept"]["documents"] == 84
    assert found["removed"] == 84 + 42 - sum(found["kept"].values())
    text = as_text(found).splitlines()
    assert text[0] == "audit of dedup: 42 texts planted into 84 made-up documents, seed 0"
    assert text[1].startswith("14 bands of 8 over shingles of 5 words, verified at 0.7; pairs of Jaccard 0.70 are")
    assert text[4] == (
        "exact               3    1.000 100.0 % 100.0 % 100.0 %   100.0 % 100.0 %    100.0 %"
    )  # fmt: skip


def test_documents_are_drawn_from_the_input(tmp_path: Path) -> None:
    texts = generate(300, seed=9)
    for number in range(3):
        part = pa.table({"words": pa.array([*texts[100 * number : 100 * number + 100], None], pa.string())})
        pq.write_table(part, tmp_path / f"{number}.parquet")
    settings = {"bands": {"text": "words"}}
    found = audit([str(tmp_path)], 90, 5, settings)
    assert (found["documents"], found["planted"], found["input"]) == (90, 42, [str(tmp_path)])
    assert found["kinds"][0]["found"] == 1.0
    assert found["wrong"] == 0
    assert found == audit([str(tmp_path)], 90, 5, settings)
    assert f"90 documents of {tmp_path}, seed 5" in as_text(found)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dedup", "--documents", "0"], "headrace: --documents should be at least 1, got 0"),
        (["web"], "headrace: no audit of 'web'; there is dedup"),
        (["dedup", "--seed", "-1"], "headrace: --seed should be at least 0, got -1"),
        (["dedup", "--documents", "20"], "headrace: an audit needs 28 documents of 50 words or more"),
        (["dedup", "--set", "NearDuplicates.verify=2"], "headrace: NearDuplicates.verify should be above 0"),
        (["dedup", "--set", "NearDuplicates.index=x"], "headrace: an audit takes no NearDuplicates.index, got 'x'"),
        (["dedup", "--input", "nowhere"], "headrace: input nowhere: not there"),
    ],
)
def test_bad_arguments_are_one_line_and_2(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(line)


def test_an_index_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match=r"takes no NearDuplicates\.index, got 'kept/'"):
        audit([], 100, 0, {"NearDuplicates": {"index": "kept/"}})
