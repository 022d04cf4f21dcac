"""The back end `transformers:` beside a plain padded loop of `generate`: tokens a second, and how busy the GPU is.

    python benchmarks/gpu_generate.py [--rows N] [--rounds N]

On a GPU: a Llama of the shape of ProX's refiners in bfloat16. Their count, 354,284,800 with a vocabulary of 32,000,
leaves one usual shape: 24 layers of 1,280, 16 heads of 80 with one key, 2,048 within. Elsewhere 3.8 million parameters
in float32 on one thread, where CPU seconds count; the line says which. Weights are random, which cost what trained ones
do. Every 20th token of the vocabulary ends an answer, so that answers have many lengths, as programs have (`answer`
tells them); 256 tokens at most, greedy, as ProX asks. The prompts are synthetic chunks of numbered lines of 40 to 1,500
tokens (to 400 on a CPU) in random order. The plain loop takes them as they come, padded on the left, and tokenises,
generates and decodes as the engine does. Both in turns, the best of N rounds; `gpu_busy` is nvidia-smi's utilisation.
"""

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from record import record
from tokenizers import Tokenizer, models, pre_tokenizers

from stages.models.engine import Prompt, Request, Sampling
from stages.models.spec import open_engine, parse

VOCABULARY, ANSWER, ENDS = 32_000, 256, 20
PROX = {"hidden_size": 1280, "num_hidden_layers": 24, "intermediate_size": 2048, "num_attention_heads": 16}
PROX_PARAMETERS = 354_284_800
SMALL = {"hidden_size": 192, "num_hidden_layers": 6, "intermediate_size": 384, "num_attention_heads": 6}
SMALL_VOCABULARY = 4_096
SAMPLE_MS = 100
WIDE = 0.06  # of the random weights: with the usual 0.02 greedy answers go round in circles


def save_model(folder: Path, gpu: bool) -> int:
    """A model of random weights and a tokenizer of made-up words; how many parameters it has."""
    vocabulary = VOCABULARY if gpu else SMALL_VOCABULARY
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, vocabulary)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    shape = {**PROX, "num_key_value_heads": 1} if gpu else SMALL
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        initializer_range=WIDE,
        bos_token_id=1,
        eos_token_id=list(range(ENDS, vocabulary, ENDS)),
        pad_token_id=0,
        **shape,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16 if gpu else torch.float32)
    parameters = sum(p.numel() for p in model.parameters())
    assert not gpu or parameters == PROX_PARAMETERS, parameters
    model.save_pretrained(folder)
    return parameters


def chunks(rows: int, longest: int, vocabulary: int) -> list[str]:
    """Chunks of numbered lines, one word a token: `[doc]`, lines of 3 to 60 words, `[/doc]`."""
    draw = random.Random(1)
    texts = []
    for _ in range(rows):
        budget, lines = draw.randint(40, longest) - 2, []
        while budget > 0:
            words = min(draw.choice((3, 8, 20, 60)), budget)
            lines.append(" ".join(f"w{draw.randrange(4, vocabulary)}" for _ in range(words)))
            budget -= words
        texts.append("\n".join(["w3", *lines, "w3"]))
    return texts


class Busy:
    """The share of samples of the GPU's utilisation while it is open; None without nvidia-smi."""

    def __enter__(self) -> "Busy":
        self.smi: Any = None
        self.share: float | None = None
        if torch.cuda.is_available() and (path := shutil.which("nvidia-smi")):
            query = [path, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", str(SAMPLE_MS)]
            self.smi = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.smi is not None:
            self.smi.terminate()
            samples = [int(line) for line in self.smi.communicate()[0].split() if line.isdigit()]
            self.share = round(sum(samples) / len(samples) / 100, 3) if samples else None


def plain(model: Any, tokenizer: Any, texts: list[str], size: int) -> list[int]:
    """The loop that anybody writes first; how many tokens each answer has, its end counted."""
    ends, lengths = set(model.config.eos_token_id), []
    for begin in range(0, len(texts), size):
        batch = tokenizer(texts[begin : begin + size], return_tensors="pt", padding=True).to(model.device)
        with torch.inference_mode():
            output = model.generate(**batch, max_new_tokens=ANSWER, do_sample=False)
        answers = output[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(answers, skip_special_tokens=True)
        for row in answers.tolist():
            lengths.append(next((i + 1 for i, token in enumerate(row) if token in ends), len(row)))
    return lengths


def asked(engine: Any, texts: list[str]) -> list[int]:
    """The same by the engine."""
    found = dict(engine.generate([Request(Prompt(text=text), Sampling(ANSWER)) for text in texts]))
    return [found[i].usage.completion_tokens for i in range(len(texts))]


def measure(run: Callable[[], list[int]]) -> dict[str, Any]:
    """Answer tokens a second by the clock and by CPU time, and the GPU's busy share."""
    with Busy() as busy:
        wall, cpu = time.perf_counter(), time.process_time()
        lengths = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "tokens_per_s": round(sum(lengths) / wall, 1),
        "tokens_per_cpu_s": round(sum(lengths) / cpu, 1),
        "rows_per_s": round(len(lengths) / wall, 2),
        "gpu_busy": busy.share,
        "answer": {"mean": round(sum(lengths) / len(lengths), 1), "longest": max(lengths)},
    }


def sides(folder: Path, texts: list[str], sizes: tuple[int, ...]) -> dict[str, Callable[[], list[int]]]:
    """Engine and plain loop at each batch size."""
    runs: dict[str, Callable[[], list[int]]] = {}
    words = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    for size in sizes:
        query = f"batch_size={size}&batch_tokens={size * 2048}"
        engine: Any = open_engine(parse(f"transformers:{folder}?{query}", "gpu_generate"))
        runs[f"engine {size}"] = partial(asked, engine, texts)
        runs[f"plain {size}"] = partial(plain, engine._model("causal"), words, texts, size)
    return runs


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    gpu = torch.cuda.is_available()
    parser.add_argument("--rows", type=int, default=4096 if gpu else 64)
    parser.add_argument("--rounds", type=int, default=3 if gpu else 2)
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        parameters = save_model(Path(name), gpu)
        texts = chunks(arguments.rows, 1500 if gpu else 400, VOCABULARY if gpu else SMALL_VOCABULARY)
        runs = sides(Path(name), texts, (32, 256, 512) if gpu else (1, 32))
        found: dict[str, list[dict[str, Any]]] = {label: [] for label in runs}
        for _ in range(arguments.rounds):
            for label, run in runs.items():
                found[label].append(measure(run))
    key = "tokens_per_s" if gpu else "tokens_per_cpu_s"
    best = {label: max(rounds, key=lambda r: r[key]) for label, rounds in found.items()}
    sizes = {label.split()[1] for label in best}
    record(
        "gpu_generate",
        {
            "device": torch.cuda.get_device_name() if gpu else "CPU, one thread: no GPU was there, so a smaller model",
            "parameters": parameters,
            "dtype": "bfloat16" if gpu else "float32",
            "rows": len(texts),
            "prompt_tokens": sum(len(text.split()) for text in texts),
            "best": best,
            "times_plain": {
                s: round(best[f"engine {s}"][key] / best[f"plain {s}"][key], 2) for s in sorted(sizes, key=int)
            },
            "packages": {"torch": torch.__version__, "transformers": transformers.__version__},
        },
    )


if __name__ == "__main__":
    main()
