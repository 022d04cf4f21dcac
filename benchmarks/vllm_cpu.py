"""Engine `vllm:` beside vLLM's own `LLM.generate` on the same prompts: what the event loop between threads costs.

    .venv-vllm/bin/python -m benchmarks.vllm_cpu [--prompts N] [--rounds N]

A Llama of 3 million parameters with random weights in float32, so that a step is short and the frontend counts; 64
tokens an answer, greedy. Both are up and take turns; the best round of each, in tokens a second and in tokens a CPU
second over all their processes. Prints one JSON line. Needs the environment of `make vllm`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from timeit import default_timer

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from stages.models.engine import Answer, Prompt, Request, Sampling
from stages.models.spec import open_engine, parse
from tests.stages.models import tiny

TOKENS, SEQUENCES = 64, 64


def cpu_seconds() -> float:
    """Of this process and all that it started."""
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in [me, *me.children(recursive=True)])


def speed(work: Callable[[], int]) -> tuple[float, float]:
    """(tokens a second, tokens a CPU second)."""
    begin, cpu = default_timer(), cpu_seconds()
    tokens = work()
    return tokens / (default_timer() - begin), tokens / (cpu_seconds() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    texts = [
        f"[{i}] Mrs. Hale, who was 47 years old in 1892, sold the house for {i} pounds. " * 2
        for i in range(args.prompts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        model = tiny.llama(Path(folder), hidden=192, layers=6)
        setting = f"vllm:{model}?gpus=0&dtype=float32&enforce_eager=true&max_num_seqs={SEQUENCES}&kv_cache_gb=0.5"
        engine = open_engine(parse(setting, "benchmark"))
        from vllm import LLM, SamplingParams  # noqa: PLC0415 - after the environment is set

        llm = LLM(
            str(model), dtype="float32", enforce_eager=True, max_num_seqs=SEQUENCES, kv_cache_memory_bytes=1 << 29
        )

        def ours() -> int:
            requests = [Request(Prompt(text=text), Sampling(max_tokens=TOKENS)) for text in texts]
            found = [answer for _, answer in engine.generate(requests) if isinstance(answer, Answer)]
            assert len(found) == len(texts)
            return sum(answer.usage.completion_tokens for answer in found)

        def theirs() -> int:
            found = llm.generate(texts, SamplingParams(max_tokens=TOKENS, temperature=0.0), use_tqdm=False)
            return sum(len(out.outputs[0].token_ids) for out in found)

        ours(), theirs()  # both have seen the prompts: the cache of prefixes is equally warm
        rounds = [(speed(ours), speed(theirs)) for _ in range(args.rounds)]
        engine.close()
    best = [[max(r[who][what] for r in rounds) for what in (0, 1)] for who in (0, 1)]
    print(
        json.dumps(
            {
                "benchmark": "vllm_cpu",
                "prompts": len(texts),
                "rounds": args.rounds,
                "engine": {"tokens_per_s": round(best[0][0]), "tokens_per_cpu_s": round(best[0][1])},
                "LLM.generate": {"tokens_per_s": round(best[1][0]), "tokens_per_cpu_s": round(best[1][1])},
                "ratio_cpu": round(best[0][1] / best[1][1], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
