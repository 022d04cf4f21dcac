"""A checkpoint with the head that a verb needs, on its device; one whose head is missing is refused.

transformers makes up what a checkpoint lacks: a base model loads as a classifier with a random head, and only the
loading report tells (`missing_keys`). Here it ends the run.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from schemas.check import nearest
from stages.models.batches import trouble
from stages.models.spec import Spec
from stages.stage import StageError

Head = Literal["causal", "classifier", "base"]
AUTO: dict[Head, str] = {
    "causal": "AutoModelForCausalLM",
    "classifier": "AutoModelForSequenceClassification",
    "base": "AutoModel",
}
DTYPES = ("auto", "float32", "bfloat16", "float16")
# A checkpoint's own Python is never run, not even if somebody at a terminal says yes; a pickle may hold tensors alone.
NO_CODE = {"trust_remote_code": False, "weights_only": True}
UNUSED = "pooler."  # BERT's pooler: embeddings are made of the hidden states, and many checkpoints lack it


def device_of(spec: Spec) -> Any:
    """The device that the settings name; `auto` is the GPU where there is one, else the CPU."""
    import torch  # noqa: PLC0415 - an extra

    name = spec.options["device"]
    if name == "auto":
        if spec.options["gpus"] > 0 and not torch.cuda.is_available():
            raise StageError(
                f"engine transformers:{spec.target}: gpus={spec.options['gpus']:g} but torch {torch.__version__} sees "
                "no CUDA device here; say device=cpu if it should run without"
            )
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise StageError(f"engine transformers:{spec.target}: device={name!r} is none: {error}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise StageError(f"engine transformers:{spec.target}: device={name}: torch sees no CUDA device here")
    return device


def dtype_of(spec: Spec, device: Any) -> Any:
    """bfloat16 on a GPU and float32 on a CPU, unless the settings say otherwise."""
    import torch  # noqa: PLC0415 - an extra

    name = spec.options["dtype"]
    if name not in DTYPES:
        raise StageError(
            f"engine transformers:{spec.target}: dtype={name!r} is none of {', '.join(DTYPES)}"
            f"{nearest(name, list(DTYPES))}"
        )
    if name == "auto":
        name = "float32" if device.type == "cpu" else "bfloat16"
    return getattr(torch, name)


def head_of(config: Any) -> Head:
    """What a checkpoint was saved as, by the class that its config names."""
    names = [str(name) for name in config.architectures or ()]
    if any(name.endswith("ForSequenceClassification") for name in names):
        return "classifier"
    return "causal" if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names) else "base"


def load(spec: Spec, head: Head, device: Any, attention: str | None = None) -> Any:
    """The model, ready to be asked. `attention` names an implementation; None is the library's choice."""
    import transformers  # noqa: PLC0415 - an extra

    transformers.utils.logging.disable_progress_bar()
    more = {} if attention is None else {"attn_implementation": attention}
    try:
        model, info = getattr(transformers, AUTO[head]).from_pretrained(
            spec.folder or spec.target, dtype=dtype_of(spec, device), output_loading_info=True, **NO_CODE, **more
        )
    except (OSError, ValueError) as error:  # nothing there; or a class of model that has no such head
        raise StageError(f"engine transformers:{spec.target}: does not load as {AUTO[head]}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if not (head == "base" and UNUSED in key))
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise StageError(
            f"engine transformers:{spec.target}: the checkpoint was saved as {model.config.architectures} and has no "
            f"weights for {shown}, which {type(model).__name__} needs; they would be random. Name a checkpoint that "
            "has them"
        )
    try:
        return _adapted(spec, model).to(device).eval()
    except RuntimeError as error:
        if trouble(error) != "memory":
            raise
        raise StageError(f"engine transformers:{spec.target}: the model does not fit on {device}: {error}") from error


def load_tokenizer(spec: Spec) -> Any:
    """The model's own tokenizer, or the one that the option `tokenizer` names."""
    import transformers  # noqa: PLC0415 - an extra

    name = spec.options["tokenizer"] or spec.folder or spec.target
    try:
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise StageError(f"engine transformers:{spec.target}: no tokenizer in {name}: {error}") from error


def load_config(spec: Spec) -> Any:
    """What the checkpoint says of itself."""
    import transformers  # noqa: PLC0415 - an extra

    try:
        return transformers.AutoConfig.from_pretrained(spec.folder or spec.target, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise StageError(f"engine transformers:{spec.target}: no model there: {error}") from error


def _adapted(spec: Spec, model: Any) -> Any:
    """The model with the LoRA of the settings merged into its weights."""
    if not spec.options["lora"]:
        return model
    if find_spec("peft") is None:
        raise ImportError(f"engine transformers: lora={spec.options['lora']} needs peft: pip install peft")
    return import_module("peft").PeftModel.from_pretrained(model, spec.options["lora"]).merge_and_unload()
