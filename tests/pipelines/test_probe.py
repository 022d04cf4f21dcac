"""`headrace probe`: which formats are acceptable, which is best; and with a real model, whole."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from pipelines import probe as probes
from pipelines.probe import as_text, probe, try_format
from stages.models.engine import Failure
from stages.refine.chunk import ProxChunks
from stages.refine.prompt_format import FORMATS
from tests.stages.refine.scripted import Say, asker

PAGE = "\n".join(f"Line {i} of a page says something that is worth its four words more." for i in range(10))
FORMAT_OF = {"<<SYS>>": "llama2_sys", "[INST]": "llama2_nosys", "<|im_start|>": "chatml"}


def by_format(**outputs: str) -> Say:
    """A model that answers each format in another way."""

    def say(prompt: str) -> str:
        name = next((name for mark, name in FORMAT_OF.items() if mark in prompt), "plain")
        return outputs.get(name, "keep_all()")

    return say


def write(path: Path, *texts: str) -> str:
    table = pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())})
    pq.write_table(table, path)
    return str(path)


def tried(say: Any, *texts: str, **settings: Any) -> dict[str, Any]:
    return try_format(ProxChunks(**settings), asker(say), "plain", list(texts))


@pytest.mark.parametrize(
    ("outputs", "operations", "kept", "words", "acceptable"),
    [
        (["remove_lines(start=0, end=0)"] * 4, 1.0, 1.0, 0.9, True),
        (["remove_lines(start=0, end=0)"] * 2 + ["keep_all()"] * 2, 0.5, 1.0, 0.95, True),
        (["remove_lines(start=0, end=0)"] + ["keep_all()"] * 3, 0.25, 1.0, 0.975, False),  # hardly ever acts
        (["remove_lines(start=0, end=0)"] * 2 + ["remove_lines(all=True)"] * 2, 1.0, 0.5, 0.45, True),
        (["remove_lines(start=0, end=0)"] + ["remove_lines(all=True)"] * 3, 1.0, 0.25, 0.225, False),  # drops most
        (["remove_lines(start=0, end=7)"] * 4, 1.0, 1.0, 0.2, False),  # keeps too few words
        (['normalize(source_str="nothing of it")'] * 4, 1.0, 1.0, 1.0, False),  # and all of them
        (["The page is about a river."] * 4, 0.0, 1.0, 1.0, False),
    ],
)
def test_a_format_is_judged_by_operations_rows_and_words_kept(
    outputs: list[str], operations: float, kept: float, words: float, acceptable: bool
) -> None:
    def say(prompt: str) -> str:
        return outputs[int(prompt.partition("page-")[2][0])]

    found = tried(say, *(f"page-{i} {PAGE}" for i in range(4)))
    assert (found["operations"], found["kept"], found["acceptable"]) == (operations, kept, acceptable)
    assert found["words"] == pytest.approx(words, abs=0.01)


def test_documents_that_were_not_asked_about_or_failed_are_told_and_do_not_count() -> None:
    def say(prompt: str) -> str | Failure:
        return Failure("refused") if "poison" in prompt else "remove_lines(start=0, end=0)"

    found = tried(say, PAGE, f"poison\n{PAGE}", " ".join(["word"] * 99), context=60, max_tokens=10, chunk_tokens=40)
    assert {k: found[k] for k in ("asked", "skipped", "failed", "operations")} == {
        "asked": 1, "skipped": 1, "failed": 1, "operations": 1.0,
    }  # fmt: skip
    assert tried(say, "poison")["acceptable"] is False


def test_the_best_is_the_acceptable_format_with_most_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = "remove_lines(start=0, end=0)"
    say = by_format(llama2_sys=act, plain=act, chatml="remove_lines(all=True)")
    monkeypatch.setattr(probes, "open_asker", lambda spec, model: asker(say))
    found = probe([write(tmp_path / "a.parquet", *[PAGE] * 6)], 4, 0, {})
    assert found["documents"] == 4
    assert [one["acceptable"] for one in found["formats"]] == [True, False, True, False]
    assert found["best"] == "llama2_sys"  # the first of equals: the original's
    assert as_text(found).splitlines()[3:] == [
        "llama2_sys           4      100.0%  100.0%   0.900     100.0%",
        "llama2_nosys         4        0.0%  100.0%   1.000     100.0%  not acceptable",
        "plain                4      100.0%  100.0%   0.900     100.0%",
        "chatml               4      100.0%    0.0%   0.000     100.0%  not acceptable",
        "",
        "acceptable: operations >= 50%, kept >= 50%, words from 0.3 to 0.999",
        "best: --set ProxChunks.prompt_format=llama2_sys",
    ]


def test_no_acceptable_format_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "open_asker", lambda spec, model: asker(by_format()))
    found = probe([write(tmp_path / "a.parquet", PAGE)], 4, 0, {})
    assert found["best"] is None
    assert as_text(found).endswith("no format is acceptable: another model, or other pages")


def test_what_cannot_be_probed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a probe needs an engine"):
        probe([write(tmp_path / "a.parquet", PAGE)], 4, 0, {"ProxChunks": {"engine": None}})
    with pytest.raises(ConfigError, match="no text to probe with"):
        probe([write(tmp_path / "b.parquet", "")], 4, 0, {})


def test_a_real_model_is_probed(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.stages.models import tiny

    folder = tiny.llama(tmp_path / "model", hidden=32, layers=1)
    chunks = {"engine": f"transformers:{folder}", "max_tokens": 12, "chunk_tokens": 200}
    told: list[str] = []
    found = probe([write(tmp_path / "a.parquet", PAGE, PAGE)], 2, 0, {"ProxChunks": chunks}, told.append)
    assert [line.partition(":")[2].split()[0] for line in told[1::2]] == list(FORMATS)
    assert all(line.startswith(f"probe: {name}: 2 asked") for line, name in zip(told[2::2], FORMATS, strict=True))
    assert [one["asked"] for one in found["formats"]] == [2] * 4
    assert [one["operations"] for one in found["formats"]] == [0.0] * 4  # it knows nothing
    assert found["best"] is None
