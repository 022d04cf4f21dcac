"""The world of made-up facts: what is written from an article states its facts alone, and answers its questions."""

import json
import random
from pathlib import Path

import pytest

from cluster.commit import read_manifests
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.usage import Usage, usage_of
from tests.runs import rows
from tests.stages.models.misbehaving import Script, Server

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def facts():
    from fact_world import Fact

    return (
        Fact("Ann Lee", "born", "Orvel"),
        Fact("Ann Lee", "built", "Nolda Bridge"),
        Fact("Nolda Bridge", "finished", "1542"),
        Fact("Bo Rask", "taught", "Ann Lee"),
        Fact("Ann Lee", "joined", "Amber Guild"),
        Fact("Amber Guild", "met", "Tarn"),
    )


def test_questions_of_one_fact_and_of_two():
    from fact_world import questions

    assert {tuple(q) for q in questions(facts()[:3])} == {
        ("Where was Ann Lee born?", "Orvel", "forward"),
        ("Where was the builder of Nolda Bridge born?", "Orvel", "relation"),
        ("What did Ann Lee build?", "Nolda Bridge", "forward"),
        ("Who built Nolda Bridge?", "Ann Lee", "reverse"),
        ("When was Nolda Bridge finished?", "1542", "forward"),
        ("When was the work of Ann Lee finished?", "1542", "relation"),
    }
    assert {(q.text, q.answer) for q in questions(facts()[3:]) if q.kind == "relation"} == {
        ("Who taught the sworn member of Amber Guild?", "Bo Rask"),
        ("Which guild did the pupil of Bo Rask join?", "Amber Guild"),
        ("Where did the guild of Ann Lee meet?", "Tarn"),
    }


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ("Ann Lee was born in Orvel.", True),
        ("Orvel was the birthplace of Ann Lee.", True),
        ("Ann Lee was born in Tarn.", False),
        ("Orvel was born in Ann Lee.", False),
        ("The builder of Nolda Bridge was born in Orvel.", True),
        ("Orvel was where Ann Lee, the builder of Nolda Bridge, was born.", True),
        ("Orvel was where Bo Rask, the builder of Nolda Bridge, was born.", False),
        ("The teacher of Ann Lee was born in Orvel.", False),
        ("The pupil of Bo Rask built Nolda Bridge.", True),
        ("The guild of Ann Lee met in Tarn.", True),
        ("Tarn was the seat of the guild of Bo Rask.", False),
        ("Bo Rask built the work of Ann Lee.", False),
        ("1542 was the year that completed the work of Ann Lee.", True),
    ],
)
def test_what_is_said_is_read_and_held_against_the_facts(said, so):
    from fact_world import read, supported

    (statement,) = read(said)
    assert supported(statement, facts()) is so


def test_text_that_states_nothing_and_headings_are_not_read():
    from fact_world import read

    assert (
        read("### Discussion of On Nolda Bridge in relation to Ann Lee\nNothing but the article joins A and B.") == []
    )


def test_an_article_has_a_sentence_a_fact():
    from fact_world import Document

    document = Document("a", "On Nolda Bridge", facts()[:3], (0, 1, 3))
    told = "Ann Lee was born in Orvel. Ann Lee designed and raised Nolda Bridge. Nolda Bridge was done in 1542."
    assert document.text == told


@pytest.fixture
def world():
    from fact_world import make_world

    return make_world(12, seed=3)


def test_a_seed_makes_one_world():
    from fact_world import make_world

    assert make_world(12, 3) == make_world(12, 3)
    assert make_world(12, 3) != make_world(12, 4)


def test_no_name_of_one_article_is_another_ones(world):
    own = [
        {f.subject for f in d.facts} | {f.object for f in d.facts if f.relation in ("built", "taught", "joined")}
        for d in world
    ]
    assert all(len(names) == 4 for names in own)
    assert len(set.union(*own)) == 4 * 12


def test_every_arm_states_the_facts_of_its_article_and_no_others(world):
    from fact_world import read, supported
    from template_engine import recombined

    draw = random.Random(1)
    for document, made in zip(world, recombined(world, seed=1), strict=True):
        assert len(made) == 1 + 28 + 56  # a summary; 8 entities
        for texts in ([document.text], [document.paraphrase(draw)], made):
            statements = [s for text in texts for s in read(text)]
            assert all(supported(s, document.facts) for s in statements)
            named = {(s.subject.name, s.relation, s.object.name) for s in statements if not s.subject.of}
            assert named >= {tuple(fact) for fact in document.facts}
        sentences = [part for text in made for line in text.split("\n") if line[:3] != "###" for part in _parts(line)]
        unread = [s for s in sentences if not read(s) and not s.startswith("Nothing but the article joins ")]
        assert unread == []


def _parts(line):
    return [part.rstrip(".") + "." for part in line.split(". ") if part]


def test_paraphrases_keep_the_order_of_sentences_and_names(world):
    from fact_world import read

    document, draw = world[0], random.Random(2)
    texts = {document.paraphrase(draw) for _ in range(20)}
    assert len(texts) > 10
    assert {tuple(read(text)) for text in texts} == {tuple(read(document.text))}
    for text in texts:
        for said, fact in zip(text.split(". "), document.facts, strict=True):
            assert said.index(fact.subject) < said.index(fact.object)


def test_questions_are_answered_by_the_article_and_by_no_other(world):
    from fact_world import questions

    asked = [(q.text, q.answer, d.id) for d in world for q in questions(d.facts)]
    assert len(asked) == 24 * 12
    assert len({text for text, _, _ in asked}) == len(asked)
    texts = {d.id: d.text for d in world}
    assert all(answer in texts[id_] for _, answer, id_ in asked)


def test_the_engine_reads_the_article_and_nothing_else():
    from template_engine import answer

    content = '"On Nolda Bridge".\n Ann Lee was born in Orvel. Ann Lee built Nolda Bridge.'
    assert json.loads(answer(f"### Document Content:\n{content}")) == {
        "summary": "Ann Lee was born in Orvel. Ann Lee built Nolda Bridge.",
        "entities": ["Ann Lee", "Orvel", "Nolda Bridge"],
    }
    prompt = f"### Document Content:\n{content}\n\n### Entities:\n- Orvel\n- Nolda Bridge"
    headings = [line for line in answer(prompt).split("\n") if line.startswith("###")]
    assert headings == [
        "### Discussion of On Nolda Bridge in relation to Orvel",
        "### Discussion of On Nolda Bridge in relation to Nolda Bridge",
        "### Discussion of Interaction between Orvel and Nolda Bridge in context of On Nolda Bridge",
    ]
    assert "the builder of Nolda Bridge" in answer(prompt).replace("The builder", "the builder")
    assert answer(prompt, seed=1) == answer(prompt, seed=1)
    assert len({answer(prompt, seed) for seed in range(10)}) > 5


def test_the_recipe_entigraph_with_the_template_engine_as_a_server(tmp_path, world):
    """4 articles of 8 entities: 4 calls for entities, 4 x (28 + 56) for texts; all kept, each paid for once."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fact_world import read, supported
    from template_engine import answer

    documents = {d.id: d for d in world[:4]}
    columns = {"id": list(documents), "title": [d.title for d in documents.values()]}
    texts = pa.array([d.text for d in documents.values()], pa.large_string())
    pq.write_table(pa.table({**columns, "text": texts}), tmp_path / "docs.parquet")
    with Server(Script(answer=answer)) as server:
        sets = [f"--set={stage}.engine={server.engine(concurrency=16)}" for stage in ("ExtractEntities", "EntiGraph")]
        words = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out"), "--json"]
        assert main(["run", "entigraph", *words, *sets]) == 0
        counts = server.counts().values()
    assert [count.answered for count in counts] == [1] * (4 + 4 * 84)
    kept = rows(tmp_path / "out/entigraph/data")
    assert len(kept) == 4 * 85
    assert all(supported(s, documents[row["parents"][0]].facts) for row in kept for s in read(row["text"]))
    folder = Folder(str(tmp_path / "out"))
    used = Usage()
    for manifest in read_manifests(folder.below("entigraph")).values():
        used = used.plus(usage_of(folder.below("entigraph"), manifest, {"EntiGraph"}))
    assert used.calls == 4 * 84
    assert used.completion_tokens == sum(len(row["text"].split()) for row in kept if row["entities"])
