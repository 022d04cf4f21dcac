"""An engine whose processes die, a worker that is killed, an adapter, and models that cannot be had."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from stages.models.engine import Prompt, Request, Sampling
from stages.stage import StageError, WorkerBrokenError
from tests.stages.models import tiny

pytest.importorskip("vllm.version", reason="vLLM has an environment of its own: make test-vllm")
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(900)

from tests.stages.models.on_vllm import reference  # noqa: E402
from tests.stages.models.on_vllm.conftest import opened  # noqa: E402
from tests.stages.models.on_vllm.test_vllm_generate import LINES, in_order, whole  # noqa: E402
from tests.stages.models.on_vllm.worker import Worker, seeded  # noqa: E402


def wait_gone(pids: list[int]) -> None:
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=60)
    assert [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []


@pytest.mark.ray
def test_in_an_actor_seeds_give_the_same_and_death_is_told(
    vllm_llama: Any, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        make = ray.remote(Worker).options(num_cpus=1)
        worker = make.remote(llama)
        expected = seeded(vllm_llama)
        assert len(set(expected)) > len(expected) // 2
        assert ray.get(worker.seeded.remote()) == expected
        pids = ray.get(worker.pids.remote())
        assert len(pids) >= 3
        during, after = ray.get(worker.dead.remote())
        assert "its processes have died" in during and "its processes have died" in after
        ray.kill(worker)
        wait_gone(pids)
    finally:
        ray.shutdown()


@pytest.mark.ray
def test_no_process_outlives_a_killed_worker(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        worker = ray.remote(Worker).options(num_cpus=1).remote(llama)
        pids = ray.get(worker.pids.remote())
        assert any("Worker" in "".join(psutil.Process(pid).cmdline()) for pid in pids)
        ray.kill(worker)  # SIGKILL: nothing of the worker's runs any more
        wait_gone(pids)
    finally:
        ray.shutdown()


def adapter(folder: Path, base: Path, rank: int = 3) -> tuple[Path, Any]:
    """A LoRA adapter of the query projections as peft saves it, and the model with it merged."""
    folder.mkdir()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    weights = {}
    generator = torch.Generator().manual_seed(3)
    for number, layer in enumerate(model.model.layers):
        linear = layer.self_attn.q_proj
        a = torch.randn(rank, linear.in_features, generator=generator)
        b = torch.randn(linear.out_features, rank, generator=generator)
        name = f"base_model.model.model.layers.{number}.self_attn.q_proj"
        weights |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
        with torch.no_grad():
            linear.weight += 2.0 * (b @ a)  # lora_alpha / r
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder, model.eval()


def test_an_adapter_speaks_as_the_model_it_is_merged_into(llama: Path, tmp_path: Path) -> None:
    folder, merged = adapter(tmp_path / "adapter", llama)
    engine = opened(llama, f"&lora={folder}")
    try:
        requests = [Request(Prompt(text=line), Sampling(max_tokens=12)) for line in LINES[:8]]
        for line, answer in zip(LINES[:8], in_order(engine.generate(requests)), strict=True):
            tokens = reference.tokens_of(llama, line)
            assert whole(answer.text) == whole(reference.greedy(llama, tokens, 12, merged)[0])
            assert whole(answer.text) != whole(reference.greedy(llama, tokens, 12)[0])
    finally:
        engine.close()


def alive() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "VLLM" in p.name() and p.status() != "zombie"]


def test_what_cannot_start_ends_the_run(tmp_path: Path, llama: Path) -> None:
    before = alive()
    with pytest.raises(StageError, match="has no adapter_config"):
        opened(llama, f"&lora={tmp_path}")
    with pytest.raises(StageError, match=r"engine vllm:.*no-such-model does not start: "):
        opened(tmp_path / "no-such-model")
    narrow = tiny.llama(tmp_path / "narrow", num_attention_heads=4, head_dim=16)
    engine = opened(narrow)  # vLLM's attention on a CPU has no heads of 16: it finds out when it is asked
    with pytest.raises(WorkerBrokenError, match=r"narrow: its processes have died"):
        list(engine.generate([Request(Prompt(text="x"))]))
    engine.close()
    assert [process for process in alive() if process not in before] == []  # one of those before may be ending
