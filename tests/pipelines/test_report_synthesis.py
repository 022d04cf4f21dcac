"""The report's section on synthetic rows, and the graph beside it: counts by hand, names that stay text."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.commit import discard
from cluster.recipe import Recipe, Step
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.report import write_report
from pipelines.report.account import read_account
from pipelines.report.entity_graph import layout
from pipelines.report.refinement import read_refinement
from pipelines.report.synthesis import Budget, Synthesis, read_synthesis
from schemas import columns as c
from schemas.entity_graph import EDGES, NODES
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform, set_columns
from stages.synthesize.heirs import ADDED, Heir, heirs
from tests.runs import plan_over, run_local
from tests.stages.models.misbehaving import Script, Server

EVIL = "<script>alert('x')</script>"
DOCUMENTS = {
    "mill": ("The mill stands by the Lea. <b>It</b> has 2 stones.", ["Lea", EVIL, "Mill & Co"]),
    "weir": ("The weir of the LEA was built in 1842.", ["LEA", "weir"]),
    "fair": ("The fair comes in May.", ["fair"]),
}


def answer(prompt: str) -> str:
    """Entities and a summary of the three; of a pair or triple a text that names them and a stranger."""
    content, _, names = prompt.partition("\n\n### Entities:\n")
    (found,) = [value for value in DOCUMENTS.values() if value[0] in content]
    if not names:
        return json.dumps({"summary": f"Of {found[1][0]}.", "entities": found[1]})
    listed = names.replace("- ", "").split("\n")
    return "### Discussion\nIt is of " + " and ".join(listed) + ", says Dr Stranger in 1999."


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(tmp_path: Path, *options: str) -> Path:
    texts = pa.array([text for text, _ in DOCUMENTS.values()], pa.large_string())
    pq.write_table(pa.table({"id": list(DOCUMENTS), "text": texts}), tmp_path / "docs.parquet")
    with Server(Script(answer=answer)) as server:
        engine = server.engine(prompt_price=10, completion_price=30)
        sets = [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
        files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
        assert main(["run", "entigraph", *files, *sets, "--set=ShareBudget.budget=100", *options]) == 0
    return tmp_path / "out"


def read(out: Path) -> Synthesis:
    folder = Folder(str(out))
    account = read_account(folder)
    (found,) = read_synthesis(folder, account, read_refinement(folder, account))
    return found


def page_of(out: Path) -> str:
    write_report(str(out))
    return (out / "report.html").read_text()


def test_figures_are_those_of_the_rows(out: Path) -> None:
    """3 summaries; 3 pairs and a triple of one document, a pair of another."""
    found = read(out)
    assert (found.step, found.rows, found.of_rows, found.documents, found.passed) == ("entigraph", 8, 8, 3, 0)
    assert found.fan_out == (("1", 1), ("2", 1), ("3", 0), ("4-5", 1))
    assert (found.median, found.most) == (2.0, 5)
    assert found.kinds == (("2 entities", 4), ("summary", 3), ("3 entities", 1))
    assert (found.reasons, found.dead) == ((), 0)
    rates = {rate.name: rate for rate in found.rates}
    assert sorted(rates) == ["entity_coverage", "novel_entity_rate", "novel_number_rate"]
    covered = rates["entity_coverage"]
    assert (covered.rows, covered.mean, covered.low, [b.kept for b in covered.bins]) == (5, 1.0, 1.0, [0] * 9 + [5])
    assert (rates["novel_number_rate"].rows, rates["novel_number_rate"].median) == (5, 1.0)
    assert (found.texts, found.text_documents, len(found.ngrams), found.spread) == (8, 3, 4, None)
    assert found.budget == Budget(100, "calls", 5.0)
    assert [(stage.name, stage.calls) for stage in found.stages] == [("ExtractEntities", 3), ("EntiGraph", 5)]
    assert found.duplicates == (("dedup", 8, 0),)


def test_the_graph_is_parquet(out: Path) -> None:
    graph = read(out).graph
    assert graph is not None
    assert (graph.nodes, graph.edges, graph.pairs, graph.triples, graph.possible) == (5, 4 + 3, 4, 1, (3 + 1, 1))
    nodes, edges = (pq.read_table(out / f"entigraph/graph/{name}.parquet") for name in ("nodes", "edges"))
    assert (nodes.schema, edges.schema) == (NODES, EDGES)
    assert {row["name"]: (row["documents"], row["relations"], row["degree"]) for row in nodes.to_pylist()} == {
        "Lea": (2, 4, 5), EVIL: (1, 3, 4), "Mill & Co": (1, 3, 4), "weir": (1, 1, 1), "fair": (1, 0, 0),
    }  # fmt: skip
    rows = edges.to_pylist()
    assert (
        sorted((row["kind"], row["document"]) for row in rows)
        == [("pair", "mill")] * 3 + [("pair", "weir")] + [("triple", "mill")] * 3
    )
    assert {tuple(sorted((row["source"], row["target"]))) for row in rows if row["document"] == "weir"} == {
        ("Lea", "weir")
    }
    written = {row["id"] for row in pq.read_table(out / "entigraph/data").to_pylist() if row["entities"]}
    assert {row["id"] for row in rows} == written
    discard(Folder(str(out / "entigraph")))  # as --fresh does
    assert not (out / "entigraph").exists()


def test_names_and_texts_stay_text(out: Path) -> None:
    page = page_of(out)
    assert "<script" not in page
    assert "<b>It</b>" not in page
    assert "&lt;script&gt;alert(" in page
    assert page.count("<circle") == 4  # who has an edge
    assert "Mill &amp; Co</text>" in page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split('id="synthesis"')[1]))
    assert "8 synthetic rows of 3 documents" in text
    assert "5 of 100 calls spent (5.0 %); the documents have 4 pairs and 1 triples of entities" in text
    assert "5 names, 7 edges of 4 pairs and 1 triples" in text
    assert "says Dr Stranger" in text


def test_what_is_not_kept_has_its_reason_and_stands_below_the_line(tmp_path: Path) -> None:
    """All five texts have a year that no document has; what is left are the summaries."""
    found = read(written(tmp_path, "--set=Faithfulness.max_novel_numbers=0.5"))
    assert (found.rows, found.of_rows, found.kinds, found.graph) == (8, 8, (("summary", 3),), None)
    assert found.reasons == (("Faithfulness", "novel_numbers", 5),)
    assert found.budget == Budget(100, "calls", 5.0)
    (names,) = found.rates  # no summary has a number or entities; two have a name, and the texts have a stranger's
    assert (names.name, names.rows, names.mean) == ("novel_entity_rate", 2, 0.0)
    assert (sum(b.kept for b in names.bins), sum(b.removed for b in names.bins)) == (2, 5)
    assert {example.text for example in found.examples} == {"Of Lea.", "Of LEA.", "Of fair."}
    page = page_of(tmp_path / "out")
    assert "Faithfulness novel_numbers" in page
    assert "<circle" not in page


def test_examples_are_beside_their_documents(out: Path) -> None:
    found = read(out)
    assert {example.parent for example in found.examples} == {DOCUMENTS["mill"][0], DOCUMENTS["weir"][0]}
    assert all(example.tags[-3].startswith("entity_coverage 1.00") for example in found.examples)


def test_a_page_twice_is_the_same(out: Path) -> None:
    assert page_of(out) == page_of(out)


def test_points_are_laid_out_within_the_margins() -> None:
    ends, weights = np.array([[0, 1], [1, 2], [3, 4]]), np.array([1.0, 5.0, 2.0])
    at = layout(6, ends, weights)
    assert (at.min(axis=0) == [50, 50]).all()
    assert (at.max(axis=0) == [950, 590]).all()
    near, far = np.linalg.norm(at[1] - at[2]), np.linalg.norm(at[1] - at[4])
    assert near < far
    for n in (0, 1):
        assert np.isfinite(layout(n, np.zeros((0, 2), np.int64), np.zeros(0))).all()


@dataclass(frozen=True)
class Makes:
    """Each document once more as it is, and two rows of it with vectors and a perplexity."""

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.EMBEDDING, c.PERPLEXITY, c.VARIANT])
    rows: ClassVar[Rows] = "any"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def transform(table: pa.Table) -> pa.Table:
            made = [Heir(row, (str(i),), f"a b {i}") for row in range(table.num_rows) for i in range(2)]
            made += [Heir(row, ("own",), "document") for row in range(table.num_rows)]
            rows = heirs(table, "Makes", None, made)
            synthetic = [text != "document" for text in rows.column("text").to_pylist()]
            parents = [p if s else None for p, s in zip(rows.column("parents").to_pylist(), synthetic, strict=True)]
            vectors = [[1.0, float(i % 3)] if s else None for i, s in enumerate(synthetic)]
            return set_columns(
                rows,
                parents=pa.array(parents, c.PARENTS.type),
                entities=pa.nulls(rows.num_rows, c.ENTITIES.type),
                embedding=pa.array(vectors, c.EMBEDDING.type),
                perplexity=pa.array([10.0 if s else None for s in synthetic], c.PERPLEXITY.type),
                variant=pa.array(["twice" if s else None for s in synthetic], c.VARIANT.type),
            )

        return transform


def test_rows_of_other_makers(tmp_path: Path) -> None:
    """No graph, no budget; vectors, perplexity and the variant are shown where rows have them."""
    pq.write_table(pa.table({"id": ["x", "y"], "text": ["one", "two"]}), tmp_path / "docs.parquet")
    recipe = Recipe("makes", (Step("make", ReadParquet(), (Makes(),)),))
    run_local(plan_over(recipe, tmp_path / "docs.parquet"), tmp_path / "out")
    found = read(tmp_path / "out")
    assert (found.rows, found.documents, found.passed) == (6, 2, 2)
    assert (found.fan_out, found.kinds, found.graph, found.budget) == ((("2", 2),), (("twice", 4),), None, None)
    (perplexity,) = found.rates
    assert (perplexity.name, perplexity.rows, perplexity.median, perplexity.bins) == ("perplexity", 4, 10.0, [])
    assert found.spread is not None
    assert (found.spread.rows, found.spread.similarity_document) == (4, pytest.approx(1 / 2**0.5))
    assert found.ngrams[1].overlap_document == pytest.approx(1 / 2)  # "a b" of "a b", "b 0"
    assert "mean cosine similarity of the embeddings of 4 rows" in page_of(tmp_path / "out")
    assert not (tmp_path / "out/make/graph").exists()
    assert {example.parent for example in found.examples} == {"one", "two"}
    (tmp_path / "docs.parquet").unlink()
    assert "its text is not where the run read it" in page_of(tmp_path / "out")


def test_entities_without_a_step_that_named_them(tmp_path: Path) -> None:
    """A dataset of synthetic rows, read by itself: documents are counted by the rows; a document is no relation."""
    table = pa.table(
        {
            "id": list("abcd"),
            "text": ["A b", "A b c", "x", "b d"],
            "parents": pa.array([["x"], ["x"], None, ["y"]], c.PARENTS.type),
            "entities": pa.array([["A", "b"], ["a", "B", "c"], ["A", "q"], ["b", "d"]], c.ENTITIES.type),
        }
    )
    pq.write_table(table, tmp_path / "docs.parquet")
    run_local(
        plan_over(Recipe("copy", (Step("copy", ReadParquet(), ()),)), tmp_path / "docs.parquet"), tmp_path / "out"
    )
    graph = read(tmp_path / "out").graph
    assert graph is not None
    assert (graph.nodes, graph.edges, graph.pairs, graph.triples, graph.possible) == (4, 5, 2, 1, (0, 0))
    nodes = pq.read_table(tmp_path / "out/copy/graph/nodes.parquet").to_pylist()
    assert [(n["name"], n["documents"], n["relations"], n["degree"]) for n in nodes] == [
        ("A", 1, 2, 3), ("b", 2, 3, 4), ("c", 1, 1, 2), ("d", 1, 1, 1),
    ]  # fmt: skip
    assert "triples of entities" not in page_of(tmp_path / "out")


def test_a_run_that_makes_nothing_has_no_section(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["x"], "text": ["one"], "parents": [7]}), tmp_path / "docs.parquet")
    run_local(
        plan_over(Recipe("copy", (Step("copy", ReadParquet(), ()),)), tmp_path / "docs.parquet"), tmp_path / "out"
    )
    assert 'id="synthesis"' not in page_of(tmp_path / "out")
