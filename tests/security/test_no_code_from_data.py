"""What is read never becomes code: not from documents, models, manifests, ledgers, spills or recipes."""

import ast
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.dedup.semantic import read_centroids
from stages.fasttext_model import read_model
from stages.kernels import _own
from stages.read_parquet import ReadParquet
from stages.stage import Piece, StageError
from tests.test_rooms import FILES, ROOT

BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
INFRA = sorted((ROOT / "infra").glob("*.py"))

# Calls and modules that make code or objects of bytes, and where they are used with good reason.
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle", "tarfile", "zipfile"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
         "yaml.full_load", "torch.load", "numpy.fromregex", "shutil.unpack_archive"}  # fmt: skip
ALLOWED = {
    ("stages/sandbox.py", "pickle"): "what it sends to the process it has just started, over a socket of the two",
    ("stages/zygote.py", "pickle"): "the other end of that socket",
    ("cluster/trial.py", "cloudpickle"): "a recipe's stages, to a process of the sandbox",
    ("benchmarks/dedup_peers.py", "pickle"): "clusters that a peer's own step wrote a moment ago",
    ("benchmarks/web.py", "tarfile"): "an asset of datatrove's package, with filter='data'",
}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def uses(file: Path) -> set[str]:
    """The modules and calls above that a file has, and keywords that switch a guard off."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module).partition(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            if ("weights_only", "True") not in {(word.arg, ast.unparse(word.value)) for word in node.keywords}:
                found |= {dotted(node.func)} & CALLS
            for word in node.keywords:
                given = word.value.value if isinstance(word.value, ast.Constant) else ...
                safe = {"allow_pickle": False, "trust_remote_code": False, "weights_only": True, "shell": False}
                if word.arg in safe and given is not safe[word.arg]:
                    found.add(f"{word.arg}={ast.unparse(word.value)}")
            loads = dotted(node.func).endswith(".load") and dotted(node.func).startswith(("np.", "numpy."))
            if loads and "allow_pickle" not in {word.arg for word in node.keywords}:
                found.add("np.load without allow_pickle=False")
    return found


def test_no_code_is_made_of_data() -> None:
    there = {(str(f.relative_to(ROOT)), use) for f in [*FILES, *BENCHMARKS, *INFRA] for use in uses(f)}
    assert there - ALLOWED.keys() == set()
    assert ALLOWED.keys() - there == set()  # a reason without its use has had its day


def test_the_walk_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "def f():\n import dill\n from pickle import loads\n eval('1')\n np.load(x)\n np.load(x, allow_pickle=True)\n"
        " yaml.load(x)\n torch.load(x, weights_only=False)\n M.from_pretrained(x, trust_remote_code=y)\n"
        " subprocess.run(x, shell=True)\n re.compile('x')\n model.eval()\n"
    )
    assert uses(tmp_path / "a.py") == {
        "dill", "pickle", "eval", "np.load without allow_pickle=False", "allow_pickle=True", "yaml.load", "torch.load",
        "weights_only=False", "trust_remote_code=y", "shell=True",
    }  # fmt: skip


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = str(made)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.made,)


@pytest.fixture
def evil(tmp_path: Path) -> Any:
    """A pickle that runs code; the test fails if it did."""
    made = tmp_path / "made"
    yield pickle.dumps(Evil(made), protocol=2)
    assert not made.exists()


def test_the_pickle_is_a_live_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "made")))
    assert (tmp_path / "made").is_dir()


def test_centroids_that_are_a_pickle_are_refused(tmp_path: Path, evil: bytes) -> None:
    (tmp_path / "c.npy").write_bytes(evil)
    with pytest.raises(StageError, match="is no NumPy file of centroids"):
        read_centroids(tmp_path / "c.npy")
    with (tmp_path / "o.npy").open("wb") as file:  # a NumPy file of objects is a pickle behind a header
        np.save(file, np.array([Evil(tmp_path / "made")], dtype=object), allow_pickle=True)
    with pytest.raises(StageError, match="Object arrays cannot be loaded"):
        read_centroids(tmp_path / "o.npy")


def test_a_classifier_that_is_a_pickle_is_refused(tmp_path: Path, evil: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(evil)
    with pytest.raises(ValueError, match="is not a fastText classifier that can be read"):
        read_model(tmp_path / "model.bin")


def test_an_extension_type_in_a_parquet_file_stays_bytes(tmp_path: Path, evil: bytes) -> None:
    """`arrow.py_extension_type` was unpickled by pyarrow up to 14.0.0 (CVE-2023-47248)."""
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil}
    schema = pa.schema([pa.field("text", pa.string()), pa.field("x", pa.binary(), metadata=metadata)])
    pq.write_table(pa.table([["a"], [b"b"]], schema=schema), tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        tables = list(ReadParquet().open()(file, Piece("x.parquet")))
    assert [table.column("text").to_pylist() for table in tables] == [["a"]]


def test_the_folder_of_compiled_kernels_is_nobody_elses(tmp_path: Path) -> None:
    """numba keeps pickles; under /tmp anybody may have put some there before."""
    assert _own(tmp_path / "new") == tmp_path / "new"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert _own(tmp_path / "new") == tmp_path / "new"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert _own(tmp_path / "open") != tmp_path / "open"
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert _own(tmp_path / "link") != tmp_path / "link"


def tiny_checkpoint(folder: Path) -> None:
    """A model's folder without weights: a config and a tokenizer."""
    folder.mkdir()
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1,
              "intermediate_size": 8, "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 8}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def test_weights_that_are_a_pickle_run_nothing(tmp_path: Path, evil: bytes) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import torch

    from stages.models.checkpoint import load
    from stages.models.spec import parse

    tiny_checkpoint(tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(evil)
    with pytest.raises((StageError, pickle.UnpicklingError)):
        load(parse(f"transformers:{tmp_path / 'model'}", "T"), "causal", torch.device("cpu"))
    torch.save(Evil(tmp_path / "made"), tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises((StageError, pickle.UnpicklingError)):
        load(parse(f"transformers:{tmp_path / 'model'}", "T"), "causal", torch.device("cpu"))


def test_a_checkpoints_own_python_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word for it, transformers asks at the terminal; whoever sits there is not asked."""
    pytest.importorskip("transformers")
    from stages.models.checkpoint import load_config, load_tokenizer
    from stages.models.spec import parse

    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder = tmp_path / "model"
    folder.mkdir()
    made = tmp_path / "made"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(made)!r})\n")
    auto = {"AutoConfig": "evil.Config", "AutoTokenizer": ["evil.Words", None], "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": auto, "tokenizer_class": "Words"}))
    spec = parse(f"transformers:{folder}", "T")
    for loading in (load_config, load_tokenizer):
        with pytest.raises(StageError, match=r"engine transformers:.*(?:custom code|no tokenizer|no model)"):
            loading(spec)
    assert not made.exists()
