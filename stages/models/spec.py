"""An engine by a URL-like setting: back end, where it is, options, and the name of the model.

    transformers:FOLDER?dtype=bfloat16&gpus=0.5        a folder, or a name on the hub; in this process
    transformers:headrace-refiner                      the refiner that headrace brings with it
    vllm:ORG/MODEL?gpus=1&max_model_len=2048           vLLM's async engine in this process (its own environment)
    openai:http://host:8000/v1?concurrency=512#MODEL   any OpenAI-compatible server; OPENAI_API_KEY, or key_env=NAME
    template:                                          no model: rules that answer our prompts, for dry runs and tests

Options are execution: they change how fast and where, not what is asked of which model. So a resume goes on with
another server of the same model; the model's name is what counts (`model_id`).
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from schemas import credentials
from schemas.check import nearest
from stages.models.engine import Engine
from stages.stage import Resources, StageError

Kind = Literal["transformers", "vllm", "openai", "template"]
BUNDLED = {"headrace-refiner": "refine/refiner"}  # folders of the package `stages`
TEMPLATE = "template-1"  # what its answers are kept under: another number where rules change
WEIGHTS = (".safetensors", ".bin", ".json", ".model", ".txt")  # what a folder's identity is made of

PLACES = ("/", "./", "../", "~")  # what a path begins with; no name on a hub does
ELSEWHERE = "if only the workers have it, set `model` to the name that the ledger and the rows are to have"

COMMON: dict[str, Any] = {
    "gpus": 0.0, "cpus": 1.0, "memory_gb": 4.0,  # what a worker takes
    "tables": 1,  # tables that a worker has in work at a time
    "prompt_price": 0.0, "completion_price": 0.0,  # dollars per million tokens
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "transformers": {
        **COMMON, "dtype": "auto", "device": "auto", "batch_tokens": 16384, "batch_size": 64, "lora": "", "threads": 1,
        "continuous": False, "tokenizer": "",
    },
    "vllm": {
        **COMMON, "gpus": 1.0, "tables": 2, "dtype": "auto", "max_model_len": 0, "gpu_memory_utilization": 0.9,
        "max_num_seqs": 0, "max_num_batched_tokens": 0, "tensor_parallel_size": 1, "quantization": "",
        "kv_cache_dtype": "auto", "kv_cache_gb": 0.0, "lora": "", "enforce_eager": False, "prefix_caching": True,
        "tokenizer": "", "runner": "auto", "structured": "guidance",
    },
    "openai": {
        **COMMON, "memory_gb": 1.0, "tables": 4, "concurrency": 512, "requests_per_minute": 0.0,
        "tokens_per_minute": 0.0, "timeout": 600.0, "patience": 900.0, "tries": 8, "key_env": "OPENAI_API_KEY",
        "style": "auto", "structured": "vllm", "tokenizer": "",
    },
    "template": {**COMMON, "memory_gb": 1.0, "labels": "score"},
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A parsed engine setting. `target` is a folder, a hub name or a base URL; `model` the name that is asked for."""

    kind: Kind
    target: str
    model: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def resources(self) -> Resources:
        """What a worker with this engine takes."""
        o = self.options
        return Resources(o["cpus"], o["gpus"], o["memory_gb"], o["tables"])

    @property
    def folder(self) -> Path | None:
        """The local folder of the model, if it is one."""
        if self.kind in ("openai", "template"):
            return None
        path = Path(self.target).expanduser()
        return path if path.is_dir() else None

    @property
    def model_id(self) -> str:
        """The model's name, whatever engine runs it; a folder's ends in a hash of what is in it. Adapters are part.

        `ValueError` for a path where no folder is.
        """
        folder, lora = self.folder, self.options.get("lora")
        for path in (self.target if folder is None and self.kind != "openai" else "", lora or ""):
            if path.startswith(PLACES) and not Path(path).expanduser().is_dir():
                raise ValueError(f"engine {self.kind}:{self.target}: there is no folder {path!r} here; {ELSEWHERE}")
        name = self.model if folder is None else f"{folder.name}@{_digest(folder)}"
        return f"{name}+{_adapter(lora)}" if lora else name

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars by the price table of the options."""
        o = self.options
        return float(prompt_tokens * o["prompt_price"] + completion_tokens * o["completion_price"]) / 1e6


def parse(engine: str, who: str) -> Spec:
    """Read `engine`; `ValueError` says what is wrong with it. `who` asks, for messages."""
    if (fault := credentials.fault(engine)) is not None:
        raise ValueError(f"{who}: {fault}")
    kind, colon, rest = engine.partition(":")
    if not colon or kind not in OPTIONS:
        hint = nearest(kind, list(OPTIONS)) if colon else ""
        raise ValueError(f"{who}: engine {engine!r} should begin with transformers:, vllm:, openai: or template:{hint}")
    rest, _, fragment = rest.partition("#")
    target, _, query = rest.partition("?")
    if kind == "template":
        if target or fragment:
            raise ValueError(f"{who}: engine {engine!r}: template: has no model; ?option=value may follow")
        return Spec("template", "", TEMPLATE, _options(kind, query, engine, who))
    if not target:
        raise ValueError(f"{who}: engine {engine!r} names no model, folder or address")
    options = _options(kind, query, engine, who)
    if kind == "openai":
        if not target.startswith(("http://", "https://")):
            raise ValueError(f"{who}: engine {engine!r} needs an address such as openai:http://host:8000/v1#model")
        if not fragment:
            raise ValueError(f"{who}: engine {engine!r} names no model: add #MODEL")
        if not options["key_env"].isidentifier():
            raise ValueError(f"{who}: key_env should name a variable that holds the key, such as OPENAI_API_KEY")
        return Spec("openai", target.rstrip("/"), fragment, options)
    if target in BUNDLED:
        target = str(Path(__file__).resolve().parents[1] / BUNDLED[target])
    return Spec("vllm" if kind == "vllm" else "transformers", target, fragment or target, options)


def check_tokenizer(spec: Spec, who: str, instead: str = "") -> None:
    """`ValueError` if texts cannot be counted in tokens, as far as the setting tells; `instead` is another way."""
    if spec.kind == "openai" and not spec.options["tokenizer"]:
        engine = f"openai:{spec.target}?tokenizer=FOLDER#{spec.model}"
        raise ValueError(
            f"{who}: cannot count tokens: a server has no tokenizer here; name the model's, {engine}{instead}"
        )


def check_folder(spec: Spec, model: str) -> None:
    """`StageError` if `model`, the id that was planned with, is of a folder in which something else is now.

    Rules answer under their own name: the ledger must not take what they say for a model's.
    """
    if spec.kind == "template" and model != spec.model_id:
        raise StageError(f"engine template: is no {model!r}: leave `model` unset, its answers are kept as {TEMPLATE}")
    if spec.folder is not None and model.startswith(f"{spec.folder.name}@") and model != spec.model_id:
        raise StageError(
            f"engine {spec.kind}:{spec.target}: the folder has changed, or is another one on this machine: "
            f"{spec.model_id} is here, {model} was planned with"
        )


def open_engine(spec: Spec) -> Engine:
    """The engine itself: loads the model. `ImportError` names the extra that is missing."""
    if spec.kind == "template":
        from stages.models.template_engine import TemplateEngine  # noqa: PLC0415 - only what is used

        return TemplateEngine(spec)
    if spec.kind == "openai":
        from stages.models.openai_engine import OpenAIEngine  # noqa: PLC0415 - only what is used

        return OpenAIEngine(spec)
    if spec.kind == "vllm":
        from stages.models.vllm_engine import VllmEngine  # noqa: PLC0415

        return VllmEngine(spec)
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise ImportError(f"engine transformers: needs {package}: pip install 'headrace[models]'")
    from stages.models.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(spec)


def _options(kind: str, query: str, engine: str, who: str) -> dict[str, Any]:
    known = OPTIONS[kind]
    options = dict(known)
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        if name not in known:
            raise ValueError(f"{who}: engine {engine!r}: {kind} has no option {name!r}{nearest(name, list(known))}")
        try:
            options[name] = _as(type(known[name]), value)
        except ValueError:
            wanted = type(known[name]).__name__
            raise ValueError(f"{who}: engine {engine!r}: {name} should be {wanted}, got {value!r}") from None
    return options


def _as(kind: type, value: str) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false", "1", "0"):
            raise ValueError(value)
        return value.lower() in ("true", "1")
    return kind(value)


def _adapter(lora: str) -> str:
    """The name of an adapter; a folder's ends in a hash of what is in it."""
    folder = Path(lora).expanduser()
    return f"{folder.name}@{_digest(folder)}" if folder.is_dir() else lora


def _digest(folder: Path) -> str:
    """16 hex digits over names and bytes of the files that make a model what it is."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in WEIGHTS):
        found = path.stat()
        digest.update(path.name.encode())
        digest.update(_digest_of(path.resolve(), found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1024)
def _digest_of(path: Path, size: int, modified: int, changed: int) -> bytes:
    """SHA-256 of a file; read once while size and times stay, however many stages name its model."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
