"""Engine settings: what they say, what is wrong with them, and which model they name."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from stages.models.engine import Grammar, Prompt, Request, Sampling
from stages.models.ledger import key_of
from stages.models.spec import check_folder, check_tokenizer, parse
from stages.stage import Resources, StageError


def test_each_kind() -> None:
    server = parse("openai:http://host:8000/v1/?concurrency=64&prompt_price=0.5&completion_price=2#org/model", "T")
    assert (server.kind, server.target, server.model, server.model_id) == (
        "openai", "http://host:8000/v1", "org/model", "org/model",
    )  # fmt: skip
    assert server.options["concurrency"] == 64
    assert server.cost(1_000_000, 500_000) == 1.5
    assert parse("transformers:org/model?gpus=0.25&memory_gb=8", "T").resources == Resources(1.0, 0.25, 8.0)
    assert parse("vllm:org/model", "T").resources == Resources(1.0, 1.0, 4.0, 2)


def test_a_folder_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "notes.md").write_text("one")
    first = parse(f"transformers:{folder}?dtype=float32", "T").model_id
    (folder / "notes.md").write_text("two")
    assert parse(f"vllm:{folder}", "T").model_id == first
    (folder / "model.safetensors").write_text("weights")
    second = parse(f"transformers:{folder}", "T").model_id
    assert second != first
    assert second.startswith("tiny@")
    assert parse(f"transformers:org/model?lora={folder}", "T").model_id == f"org/model+{second}"
    assert parse("vllm:org/model?lora=org/adapter", "T").model_id == "org/model+org/adapter"


def test_a_folder_is_read_once_while_its_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model may have gigabytes, and a recipe names it in several stages and plans."""
    read: list[str] = []
    genuine = hashlib.file_digest

    def counted(file: Any, digest: str) -> Any:
        read.append(Path(file.name).name)
        return genuine(file, digest)

    monkeypatch.setattr("hashlib.file_digest", counted)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("one")
    first = parse(f"transformers:{tmp_path}", "T").model_id
    assert [parse(f"vllm:{tmp_path}", "T").model_id for _ in range(3)] == [first] * 3
    assert sorted(read) == ["config.json", "model.safetensors"]
    (tmp_path / "model.safetensors").write_text("two")  # of the same size
    assert parse(f"transformers:{tmp_path}", "T").model_id != first
    assert sorted(read) == ["config.json", "model.safetensors", "model.safetensors"]


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (
            "transformer:x",
            "T: engine 'transformer:x' should begin with transformers:, vllm:, openai: or template:; did you mean",
        ),
        ("model", "should begin with transformers:, vllm:, openai: or template:"),
        ("vllm:", "names no model, folder or address"),
        ("openai:host#m", "needs an address such as openai:http://host:8000/v1#model"),
        ("openai:http://host/v1", "names no model: add #MODEL"),
        ("openai:http://key@host/v1#m", "does not belong in an address; give it by the environment: OPENAI_API_KEY"),
        ("openai:http://host/v1?concurency=3#m", "openai has no option 'concurency'; did you mean 'concurrency'?"),
        ("openai:http://host/v1?concurrency=many#m", "concurrency should be int, got 'many'"),
        ("transformers:x?continuous=yes", "continuous should be bool, got 'yes'"),
    ],
)
def test_what_is_wrong_is_told(engine: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^T: ") as told:
        parse(engine, "T")
    assert message in str(told.value)


def test_keys_depend_on_model_sampling_and_prompt_alone() -> None:
    request = Request(Prompt(chat=(("user", "Héllo \ud800"),)), Sampling(16))
    assert key_of("m", request) == key_of("m", Request(Prompt(chat=(("user", "Héllo \ud800"),)), Sampling(16)))
    others = [
        key_of("n", request),
        key_of("m", Request(Prompt(text="Héllo \ud800"), Sampling(16))),
        key_of("m", Request(request.prompt, Sampling(17))),
        key_of("m", Request(request.prompt, Sampling(16, seed=1))),
    ]
    assert len({key_of("m", request), *others}) == 5


def test_every_field_of_a_request_is_in_the_key() -> None:
    """So that a field that is added is not forgotten there: its answers would be another's."""
    assert {f.name for f in dataclasses.fields(Prompt)} == {"text", "chat", "tokens"}
    assert {f.name for f in dataclasses.fields(Sampling)} == {
        "max_tokens", "temperature", "top_p", "stop", "seed", "grammar",
    }  # fmt: skip
    grammars = [None, Grammar("regex", "a"), Grammar("json", "a"), Grammar("regex", "b")]
    keys = {key_of("m", Request(Prompt(text="a"), Sampling(grammar=grammar))) for grammar in grammars}
    assert len(keys) == 4


def test_a_prompt_is_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one of them"):
        Prompt(text="a", tokens=(1,))
    with pytest.raises(ValueError, match="exactly one of them"):
        Prompt()


@pytest.mark.parametrize("engine", ["transformers:./no/model", "transformers:~/no/model", "vllm:/no/model"])
def test_a_path_without_a_folder_is_refused_before_anything_starts(engine: str) -> None:
    spec = parse(engine, "T")
    with pytest.raises(ValueError, match=f"engine {engine}: there is no folder '{spec.target}' here; .*set `model`"):
        _ = spec.model_id


def test_an_adapter_s_path_without_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no folder '\./adapter' here"):
        _ = parse("vllm:org/model?lora=./adapter", "T").model_id
    assert parse("vllm:org/model?lora=org/adapter", "T").model_id == "org/model+org/adapter"


def test_a_folder_that_has_changed_since_it_was_planned_with_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    spec = parse(f"transformers:{tmp_path}", "T")
    planned = spec.model_id
    check_folder(spec, planned)
    (tmp_path / "config.json").write_text("{ }")
    check_folder(spec, "a name of one's own")
    with pytest.raises(StageError, match=f"the folder has changed.*{planned} was planned with"):
        check_folder(spec, planned)


def test_a_server_needs_a_tokenizer_where_tokens_are_counted() -> None:
    check_tokenizer(parse("openai:http://host/v1?tokenizer=folder#m", "T"), "T")
    check_tokenizer(parse("transformers:org/model", "T"), "T")
    with pytest.raises(ValueError, match=r"^T: cannot count .* openai:http://host/v1\?tokenizer=FOLDER#m, or not$"):
        check_tokenizer(parse("openai:http://host/v1#m", "T"), "T", ", or not")
