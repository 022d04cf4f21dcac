"""Answers by transformers' continuous batching: rows come and go, none waits for the longest of a batch.

On CUDA with flash attention alone: without it a step attends over all packed tokens (quadratic), and on a CPU the cache
takes 8 to 20 GB while padded batches are twice as fast. It knows neither grammars nor stop strings nor seeds, so it is
asked for plain greedy answers only.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from stages.models.batches import Row
from stages.stage import WorkerBrokenError

PATIENCE = 1.0  # seconds until it is asked again whether its thread is alive


class Continuous:
    """The scheduler of one causal model, which runs in a thread until it is closed."""

    def __init__(self, model: Any, ends: Sequence[int], tokens: int, size: int, blocks: int | None = None) -> None:
        from transformers import ContinuousBatchingConfig, GenerationConfig  # noqa: PLC0415 - an extra

        # An end of -1 is none; without one in its settings the library warns.
        settings = GenerationConfig(do_sample=False, eos_token_id=list(ends) or -1, pad_token_id=None)
        self.scheduler = model.init_continuous_batching(
            settings,
            ContinuousBatchingConfig(
                max_batch_tokens=tokens, max_requests_per_batch=size, num_blocks=blocks, auto_switch_to_flash=False
            ),
        )
        self.scheduler.start()

    def run(self, rows: Sequence[Row]) -> Iterator[tuple[int, list[int] | None]]:
        """The tokens that follow each row, as they are ready; None where it failed and padding may help (no memory).

        The library swallows exceptions of its thread and then has fewer results than requests: they are counted here.
        """
        waiting: set[str] = set()
        for row in rows:
            name = self.scheduler.add_request(
                list(row.tokens), request_id=str(row.number), max_new_tokens=row.room, eos_token_id=None
            )
            if name is None:
                raise WorkerBrokenError(f"continuous batching takes no requests: {self._fatal()}")
            waiting.add(name)
        while waiting:
            result = self.scheduler.get_result(timeout=PATIENCE)
            if result is None:
                if not self.scheduler.is_running() or self._fatal() is not None:
                    raise WorkerBrokenError(
                        f"continuous batching died with {len(waiting)} answers due: {self._fatal()}"
                    )
                continue
            if not result.is_finished() or result.request_id not in waiting:
                continue
            waiting.discard(result.request_id)
            yield int(result.request_id), None if result.error is not None else list(result.generated_tokens)

    def _fatal(self) -> Any:
        return self.scheduler.background_thread_status.fatal_error

    def close(self) -> None:
        """End the thread and free its cache."""
        self.scheduler.stop(block=True)


def refusal(device: Any, dtype: Any) -> str | None:
    """Why continuous batching is no use here, None if it is."""
    from transformers.utils import is_flash_attn_2_available  # noqa: PLC0415 - an extra

    if device.type != "cuda":
        return f"needs CUDA, and the device is {device}: padded batches are faster there"
    if not is_flash_attn_2_available():
        return "needs flash attention: pip install flash-attn (without it padded batches are faster)"
    if "float32" in str(dtype):
        return "needs dtype=bfloat16 or float16, which flash attention computes in"
    return None
