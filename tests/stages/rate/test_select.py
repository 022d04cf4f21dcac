"""Selection by scores: the golden order (methods 5.4), noise by id, thresholds for a budget and a quantile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from pipelines.score_threshold import best, main, quantile
from stages.rate.select import SelectByScore, gumbel
from stages.stage import StageError

SCORES = [2.0, 0.0, -2.0, 1.0]
NOISE = np.array([0.75658105, -1.10198042, -0.27516331, 0.09108232])  # numpy.random.seed(42)
Z = [1.18321596, -0.16903085, -1.52127766, 0.50709255]


def table(scores: Any, tokens: int = 10) -> pa.Table:
    n = len(scores)
    return pa.table(
        {
            "id": [f"d{i}" for i in range(n)],
            "text": [f"t{i}" for i in range(n)],
            "q_score": pa.array(scores, pa.float32()),
            "n_tokens": pa.array([tokens] * n, pa.int64()),
        }
    )


def test_golden_scores_and_order():
    values = np.array(SCORES)
    select = SelectByScore(mean=values.mean(), std=values.std(), temperature=2.0)
    assert select.of(values, np.zeros(4)) == pytest.approx(np.array(Z) / 2)
    chosen = select.of(values, NOISE)
    assert chosen == pytest.approx([1.34818903, -1.18649585, -1.03580214, 0.3446286])
    assert np.argsort(-chosen).tolist() == [0, 3, 2, 1]


def test_reasons():
    stage = SelectByScore("q_score", least=0.0)
    found = stage.open()(table([*SCORES, None, float("nan")]))
    assert found["drop_reason"].to_pylist() == [None, None, "not_selected", None, "no_score", "no_score"]
    assert found["selection_score"].to_pylist() == [2.0, 0.0, -2.0, 1.0, None, None]
    above = SelectByScore("q_score", above=0.0).open()(table(SCORES))
    assert above["drop_reason"].to_pylist() == [None, "not_selected", "not_selected", None]
    assert SelectByScore("q_score").open()(table(SCORES))["drop_reason"].null_count == 4


def test_noise_is_gumbels_and_follows_the_id():
    draws = gumbel([f"id{i}" for i in range(20000)], 7)
    assert draws.mean() == pytest.approx(0.5772, abs=0.03)
    assert draws.var() == pytest.approx(np.pi**2 / 6, abs=0.08)
    assert gumbel(["id5", "id3"], 7).tolist() == [draws[5], draws[3]]
    assert gumbel(["id5"], 8)[0] != draws[5]


def test_what_is_no_number_stops_the_stage():
    with pytest.raises(StageError, match="expected numbers"):
        SelectByScore("text").open()(table(SCORES))


@pytest.mark.parametrize("settings", [{"std": 0}, {"temperature": -1}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="SelectByScore"):
        SelectByScore(**settings)


def written(folder: Path, scores: Any, files: int = 2) -> str:
    rows = table(scores)
    for number in range(files):
        part = rows.take(pa.array(range(number, rows.num_rows, files)))
        pq.write_table(part, folder / f"{number}.parquet")
    return str(folder)


def chosen(found: dict[str, Any], rows: pa.Table) -> list[str]:
    """The ids that `SelectByScore` keeps with the settings that were found."""
    settings: dict[str, Any] = {}
    for one in found["set"]:
        name, _, value = one.removeprefix("SelectByScore.").partition("=")
        settings[name] = value if name == "score" else float(value)
    if "seed" in settings:
        settings["seed"] = int(settings["seed"])
    kept = SelectByScore(**settings).open()(rows)
    return [row["id"] for row in kept.to_pylist() if row["drop_reason"] is None]


def test_a_budget_takes_the_row_that_reaches_it(tmp_path: Path):
    folder = written(tmp_path, [*SCORES, None])
    found = best([folder], SelectByScore("q_score"), budget=25)
    assert (found["selected"], found["tokens"], found["scored"], found["rows"]) == (3, 30, 4, 5)
    assert chosen(found, table([*SCORES, None])) == ["d0", "d1", "d3"]
    assert best([folder], SelectByScore("q_score"), budget=20)["selected"] == 2
    assert best([folder], SelectByScore("q_score"), budget=1e9)["selected"] == 4  # the original never ends here
    assert best([folder], SelectByScore("q_score"), share=0.5)["selected"] == 2


def test_a_sample_is_the_same_however_rows_are_cut_and_is_no_top_k(tmp_path: Path):
    scores = np.random.default_rng(5).normal(size=2000)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    select = SelectByScore("q_score", temperature=2.0)
    one = best([written(tmp_path / "a", scores, 1)], select, budget=5000)
    other = best([written(tmp_path / "b", scores, 7)], select, budget=5000)
    ids = chosen(one, table(scores))
    assert len(ids) == 500 and ids == chosen(other, table(scores))
    top = {f"d{i}" for i in np.argsort(-scores)[:500]}
    assert 130 < len(top & set(ids)) < 400
    mean = np.mean([scores[int(id_[1:])] for id_ in ids])
    assert 0.2 < mean < 0.8  # the best 500 have 1.27, all have 0


def test_golden_median(tmp_path: Path):
    found = quantile([written(tmp_path, [0.1, 0.5, 0.9, 0.7])], "q_score", 0.5)
    assert found["selected"] == 2
    assert chosen(found, table([0.1, 0.5, 0.9, 0.7])) == ["d2", "d3"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = written(tmp_path, SCORES)
    assert main(["--input", folder, "--score", "q_score", "--budget", "15", "--temperature", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == 20 and "SelectByScore.temperature=2.0" in found["set"]
    assert main(["--input", folder, "--score", "q_scor", "--quantile", "0.5"]) == 2
    assert "did you mean 'q_score'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="from 0 to 1"):
        quantile([folder], "q_score", 2)
    with pytest.raises(ConfigError, match="--budget"):
        best([folder], SelectByScore("q_score"), budget=0)
