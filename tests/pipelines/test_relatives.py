"""The recipes that have a model write from documents, whole: on a server that misbehaves, and by a real tiny model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import recipes
from pipelines.cli import main
from tests.runs import rows
from tests.stages.models.misbehaving import Script, Server

NAMES = ("subject-qa", "dialogue", "conversation", "translate", "doc2query", "leaner")
STAGES = ("SubjectQA", "Dialogue", "Conversation", "Translate", "Doc2Query", "Rephrase")
TEXTS = {
    "mill": "The water mill was built of grey stone. Its wheel turned two pairs of stones for a hundred years.\n\n"
    "It ground flour for the whole valley until the railway came. Then the miller closed it and went to the city.",
    "fair": "The fair comes to town in May with its wheel and its tents. Children ride it for free on Sundays.\n"
    "Their parents drink coffee and talk of the weather, of the harvest, and of who has married whom this year.",
    "ford": "Below the ford the river is too deep to cross on foot. A rope was hung there once by the ferryman.\n"
    "The flood took it in the night, and since that time people walk to the bridge and pay for the way across.",
    "bell": "The bell of the church cracked in the cold of a winter that nobody alive remembers any more today.\n"
    "It still hangs in its tower. On feast days a recording of another bell is played to those who come to pray.",
    "none": "",
}
GERMAN = {
    "mill": "Die Wassermühle wurde aus grauem Stein gebaut. Ihr Rad drehte hundert Jahre lang zwei Paar Steine.\n\n"
    "Sie mahlte Mehl für das ganze Tal, bis die Eisenbahn kam. Dann schloss der Müller sie und ging in die Stadt.",
    "fair": "Der Jahrmarkt kommt im Mai mit Rad und Zelten in die Stadt. Kinder fahren am Sonntag umsonst mit.\n"
    "Ihre Eltern trinken Kaffee und reden vom Wetter, von der Ernte und davon, wer wen geheiratet hat.",
}


def given(prompt: str) -> str:
    """The text that a prompt shows."""
    return prompt.partition("Text:\n")[2] or prompt.partition("\n\n")[2]


def name_of(prompt: str) -> str:
    """Whose text it is."""
    return next(name for name in TEXTS if name in given(prompt))


def willing(prompt: str) -> str:
    """What a model answers that does as it is told; of the bell it says nothing that can be used."""
    name, text = name_of(prompt), given(prompt)
    first, _, rest = text.partition(". ")
    speakers = [part for part in prompt.split('"') if part.endswith(":")]
    if name == "bell":
        return "It tolls."
    if "Which of these subjects" in prompt:
        return "Earth science."
    if "Write one question" in prompt:
        return f"Question: What is told of the {name}?\nAnswer: {first}."
    if "Translate" in prompt:
        return GERMAN.get(name, text).replace("\n\n", "\n")
    if len(speakers) == 2:
        return f"{speakers[0]} Tell me of it.\n{speakers[1]} {first}.\n{speakers[0]} And then?\n{speakers[1]} {rest}"
    if "plain words" in prompt:
        return text
    return f"- {first}\n- what is told of the {name}"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        module = name.replace("-", "_")
        monkeypatch.setitem(recipes.RECIPES, name, f"pipelines.{module}:{module}")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    tiny = pytest.importorskip("tests.stages.models.tiny")
    return f"transformers:{tiny.llama(tmp_path_factory.mktemp('models') / 'llama', context=2048)}?dtype=float32"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Runs a recipe on the texts; its steps, each checked: rows in + emitted = out + dropped + dead."""
    pq.write_table(
        pa.table({"id": list(TEXTS), "text": pa.array(TEXTS.values(), pa.large_string())}), tmp_path / "docs.parquet"
    )

    def whole(recipe: str, engine: str, *settings: str) -> list[dict[str, Any]]:
        stage = STAGES[NAMES.index(recipe)]
        sets = [f"--set={setting}" for setting in (f"{stage}.engine={engine}", *settings)]
        files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
        assert main(["run", recipe, *files, "--max-dead", "1", "--json", *sets]) == 0
        steps: list[dict[str, Any]] = json.loads(capsys.readouterr().out.splitlines()[-1])["steps"]
        for step in steps:
            gone = sum(step["dropped"].values()) + step["dead"]
            assert step["rows_in"] + step["emitted"] == step["out"] + gone
            assert len(rows(tmp_path / "out" / step["name"] / "data")) == step["out"]
        return steps

    return whole


def misbehaving() -> Server:
    """The mill comes at the third attempt, the ford is refused for good; some other requests fail at first."""
    acts = {TEXTS["mill"][:20]: ("503", "invalid", "ok"), TEXTS["ford"][:20]: ("400",)}
    return Server(Script(acts, share=0.3, faults=("500", "reset", "429:after=0"), answer=willing))


FIRST = {name: text.partition(". ")[0] + "." for name, text in TEXTS.items()}
EXPECTED: dict[str, tuple[dict[str, int], int, int]] = {
    # reasons, dead, out
    "subject-qa": ({"SubjectQA.subject_unknown": 1, "SubjectQA.document_empty": 1}, 1, 4),
    "dialogue": ({"Dialogue.facts_no_list": 1, "Dialogue.document_empty": 1}, 1, 2),
    "conversation": ({"Conversation.conversation_no_turns": 3, "Conversation.document_empty": 1}, 3, 6),
    "translate": ({"Translate.translation_lines": 1, "Translate.document_empty": 1}, 1, 2),
    "doc2query": ({"Doc2Query.queries_no_list": 1, "Doc2Query.document_empty": 1}, 1, 2),
    "leaner": ({}, 1, 4),
}


@pytest.mark.parametrize("recipe", NAMES)
def test_every_row_is_told_of_though_the_server_misbehaves(
    recipe: str, run: Callable[..., list[dict[str, Any]]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    more = {"subject-qa": ["SubjectQA.least_tokens=10"], "conversation": ["Conversation.draw=3"]}.get(recipe, [])
    if recipe == "translate":
        more = ["Translate.languages=[de]", f"Perplexity.engine={request.getfixturevalue('llama')}"]
    with misbehaving() as server:
        step = run(recipe, server.engine(concurrency=8, patience=30), *more)[0]
        assert all(count.answered <= 1 for count in server.counts().values())
    assert (step["dropped"], step["dead"], step["out"]) == EXPECTED[recipe]
    made = rows(tmp_path / "out" / step["name"] / "data")
    assert {row["parents"][0] for row in made if row["parents"]} == (set() if recipe == "leaner" else {"mill", "fair"})
    assert {row["model"] for row in made if row["answers"] and row["model"]} == {"model"}
    (error,) = {row["error"].partition(":")[0] for row in rows(tmp_path / "out" / step["name"] / "dead")}
    assert error == "Failure"


def test_dialogues_are_messages(run: Callable[..., Any], tmp_path: Path) -> None:
    with Server(Script(answer=willing)) as server:
        run("dialogue", server.engine(concurrency=8))
    first = rows(tmp_path / "out/dialogue/data")[0]
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"] * 2
    assert first["messages"][1]["content"] == FIRST["mill"]
    assert first["novel_number_rate"] is None
    assert first["novel_entity_rate"] is None


def test_conversations_have_a_place_in_a_global_order(run: Callable[..., Any], tmp_path: Path) -> None:
    with Server(Script(answer=willing)) as server:
        run("conversation", server.engine(concurrency=8), "Conversation.draw=2")
    made = rows(tmp_path / "out/conversation/data")
    assert len(made) == len({row["order"] for row in made}) == 2 * 3  # mill, fair and ford


def test_a_translation_costs_once_however_often_its_limit_changes(
    run: Callable[..., Any], tmp_path: Path, llama: str
) -> None:
    sets = ("Translate.languages=[de]", f"Perplexity.engine={llama}")
    with Server(Script(answer=willing)) as server:
        engine = server.engine(concurrency=8)
        run("translate", engine, *sets)
        scored = rows(tmp_path / "out/perplexity/data")
        assert [row["parents"] for row in scored] == [["mill"], ["fair"]]
        assert [row["text"] for row in scored] == [GERMAN["mill"], GERMAN["fair"]]
        asked = sum(count.asked for count in server.counts().values())
        low = sum(row["perplexity"] for row in scored) / 2
        out = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out"), "--fresh"]
        more = [f"--set=Translate.engine={engine}", *(f"--set={s}" for s in sets)]
        assert main(["run", "translate", *out, *more, f"--set=Perplexity.max_perplexity={low}"]) == 0
        assert sum(count.asked for count in server.counts().values()) == asked
    (kept,) = rows(tmp_path / "out/perplexity/data")
    (removed,) = rows(tmp_path / "out/perplexity/removed")
    assert kept["perplexity"] < low < removed["perplexity"]
    assert removed["drop_reason"] == "perplexity_high"


def test_leaner_rows_have_their_share_of_rare_words(run: Callable[..., Any], tmp_path: Path) -> None:
    with Server(Script(answer=willing)) as server:
        (step,) = run("leaner", server.engine(concurrency=8), "LeanWords.most=0.05")
    assert step["dropped"] == {"LeanWords.rare_words": 2}
    assert {row["id"] for row in rows(tmp_path / "out/leaner/data")} >= {"none"}
    assert all(row["rare_word_rate"] > 0.05 for row in rows(tmp_path / "out/leaner/removed"))


@pytest.mark.parametrize("recipe", NAMES)
def test_a_real_model_writes_nonsense_and_every_row_is_told_of(
    recipe: str, run: Callable[..., list[dict[str, Any]]], tmp_path: Path, llama: str
) -> None:
    """A tiny Llama with random weights, through the engine that runs real ones."""
    stage = STAGES[NAMES.index(recipe)]
    more = [f"{stage}.max_tokens=8", f"{stage}.temperature=0"]
    if recipe == "translate":
        more += ["Translate.languages=[de, fr]", f"Perplexity.engine={llama}"]
    if recipe == "conversation":
        more += ["Conversation.draw=1"]
    step = run(recipe, llama, *more)[0]
    found = [row for place in ("data", "removed") for row in rows(tmp_path / "out" / step["name"] / place)]
    answers = [row["answers"][0] for row in found if row["answers"]]
    assert step["dead"] == 0
    assert {row["id"] if recipe == "leaner" else row["parents"][0] for row in found} == set(TEXTS)
    asked = [answer for answer in answers if answer["calls"]]
    assert len(asked) >= 4
    assert all(answer["model"].startswith("llama@") and answer["completion_tokens"] for answer in asked)
