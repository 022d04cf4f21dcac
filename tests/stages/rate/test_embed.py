"""Embeddings against transformers, and from documents by a tiny encoder to a dataset without semantic duplicates."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pipelines import centroids
from pipelines.config import configure
from pipelines.dedup_semantic import dedup_semantic
from pipelines.embed import embed
from stages.models.engine import Failure
from stages.rate.embed import Embed
from tests.runs import plan_over, rows, run_local
from tests.stages.rate.scripted import BEGIN, END, Scripted, rate


def test_a_vector_a_text_and_failures(monkeypatch):
    engine = Scripted(lambda p: Failure("lost") if 3 in p.tokens else [0.6, 0.8])
    some, bad, long = rate(monkeypatch, Embed(max_tokens=4), engine, ["a", "ccc", "a bb dddd eeeee"])
    assert some["embedding"] == pytest.approx([0.6, 0.8])
    assert (bad["embedding"], bad["error"], long["error"]) == (None, "Failure: lost", None)
    assert sorted(p.tokens for p in engine.asked) == [(BEGIN, 1, 2, END), (BEGIN, 1, END), (BEGIN, 3, END)]


def test_a_prefix_and_a_text_without_tokens(monkeypatch):
    engine = Scripted(lambda p: [1.0, 0.0], frame=((), ()))
    assert rate(monkeypatch, Embed(), engine, [""])[0]["embedding"] is None
    assert rate(monkeypatch, Embed(prefix="passage: "), engine, ["a"])[0]["embedding"] == [1.0, 0.0]
    assert engine.asked[-1].tokens == (8, 1)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="max_tokens"):
        Embed(max_tokens=0)


def test_the_vectors_are_those_of_transformers(folders):
    texts = ["The mill stands by the river. " * 9, "x", ""]
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    found = Embed(engine=f"transformers:{folders['encoder']}", max_tokens=32).open()(table).to_pylist()
    words = AutoTokenizer.from_pretrained(folders["encoder"])
    model = AutoModel.from_pretrained(folders["encoder"]).eval()
    for text, row in zip(texts, found, strict=True):
        ids = words(text, truncation=True, max_length=32, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            mean = model(input_ids=ids).last_hidden_state[0].mean(0)
        assert row["embedding"] == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)


def test_from_documents_to_a_dataset_without_semantic_duplicates(tmp_path: Path, folders):
    own = [f"Story {i}: the mill of {name} was sold for {i * 7} pounds in spring." for i, name in enumerate("ABCDEFGH")]
    texts = [*own, own[2], own[5] + " ", own[2], ""]
    pq.write_table(pa.table({"id": [f"d{i:02}" for i in range(len(texts))], "text": texts}), tmp_path / "docs.parquet")
    recipe = configure(embed(), {"Embed": {"engine": f"transformers:{folders['encoder']}"}})
    totals = run_local(plan_over(recipe, tmp_path / "docs.parquet"), tmp_path / "vectors")
    assert (totals["status"], totals["steps"][0]["out"]) == ("done", len(texts))
    table = {row["id"]: row["embedding"] for row in rows(tmp_path / "vectors" / "embed" / "data")}
    assert np.linalg.norm(np.array(list(table.values())), axis=1) == pytest.approx([1.0] * len(texts), abs=1e-5)

    out = tmp_path / "centroids.npy"
    fit = [
        "--input",
        str(tmp_path / "vectors" / "embed" / "data"),
        "--output",
        str(out),
        "--clusters",
        "2",
        "--device",
        "cpu",
    ]
    assert centroids.main(fit) == 0
    # A random encoder says that all is alike: only what is the same to it in all digits is a duplicate.
    settings = {"AssignCentroid": {"centroids": str(out)}, "SemanticDuplicates": {"epsilon": 1e-6}}
    run_local(
        plan_over(configure(dedup_semantic(), settings), tmp_path / "vectors" / "embed" / "data"), tmp_path / "out"
    )
    removed = {row["id"] for row in rows(tmp_path / "out" / "dedup" / "removed")}
    assert len(removed & {"d02", "d08", "d10"}) == 2
    assert removed <= {"d02", "d08", "d10", "d05", "d09"}
    kept = {row["id"] for row in rows(tmp_path / "out" / "dedup" / "data")}
    assert kept | removed == set(table)
