"""The recipe over files, with a tiny classifier: who stays, who goes, and that scores stay with both."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import configure
from pipelines.rate import rate
from stages.rate.fineweb_edu import FineWebEdu
from stages.rate.safety import Safety
from tests.runs import plan_over, rows, run_local
from tests.stages.models import tiny

TEXTS = [f"Document {i}: the mill {'stands by the river. ' * (i % 7)}{chr(65 + i % 26) * (i % 11)}" for i in range(60)]


def write(folder: Path) -> Path:
    folder.mkdir()
    for number in range(2):
        part = range(number, len(TEXTS), 2)
        table = pa.table({"id": [f"d{i:02}" for i in part], "text": [TEXTS[i] for i in part]})
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


def go(data: Path, output: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    totals = run_local(plan_over(configure(rate(), {"FineWebEdu": settings}), data), output)
    kept, removed = ({row["id"]: row for row in rows(output / "rate" / part)} for part in ("data", "removed"))
    return totals, kept, removed


def test_documents_below_the_threshold_are_removed_with_their_scores(tmp_path: Path) -> None:
    model, data = tiny.bert_regression(tmp_path / "model", seed=3), write(tmp_path / "data")
    engine = f"transformers:{model}?batch_size=8"
    _, scored, none = go(data, tmp_path / "all", engine=engine, threshold=None)
    assert len(scored) == len(TEXTS) and none == {}
    assert {row["edu_int_score"] for row in scored.values()} >= {0, 1}
    totals, kept, removed = go(data, tmp_path / "some", engine=engine, threshold=1)
    assert totals["steps"][0]["dropped"] == {"FineWebEdu.edu_score": len(removed)}
    assert set(kept) == {id_ for id_, row in scored.items() if row["edu_int_score"] >= 1}
    assert set(kept) | set(removed) == set(scored)
    for id_, row in {**kept, **removed}.items():
        assert row["edu_score"] == scored[id_]["edu_score"]
        assert row["answers"][0]["model"].startswith("model@")


def test_the_recipe_is_planned_without_a_model() -> None:
    (step,) = rate().steps
    assert step.stages == (FineWebEdu(),)
    assert Safety(engine="transformers:x?gpus=0.25").resources.gpus == 0.25
