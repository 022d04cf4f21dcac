"""Log-probabilities of a batch's own tokens, without the logits of all positions in memory at once."""

from typing import Any

import numpy as np
import numpy.typing as npt

CELLS = 1 << 25  # logits in memory at a time: 128 MB in float32


def token_logprobs(model: Any, ids: Any, mask: Any, cells: int = CELLS) -> npt.NDArray[np.float32]:
    """The log p of `ids[:, 1:]` given what stands before, (rows, positions - 1); padding on the right has any value.

    The model reads slices of positions with its cache of those before, so its own head and scaling are kept.
    """
    import torch  # noqa: PLC0415 - an extra

    rows, length = ids.shape
    step = max(cells // (rows * model.config.get_text_config().vocab_size), 1)
    cache: Any = None
    found = torch.zeros((rows, length - 1), dtype=torch.float32, device=ids.device)
    for begin in range(0, length - 1, step):
        end = min(begin + step, length - 1)
        output = model(
            input_ids=ids[:, begin:end],
            attention_mask=mask[:, :end],
            past_key_values=cache,
            use_cache=end < length - 1,
        )
        cache = output.past_key_values
        logits = output.logits.float()
        taken = logits.gather(2, ids[:, begin + 1 : end + 1, None])[:, :, 0]
        found[:, begin:end] = taken - logits.logsumexp(2)
    result: npt.NDArray[np.float32] = found.cpu().numpy()
    return result
