"""Where the trained refiner draws its line: the F1 of noise is best well below even odds, since there is less of it.

The decision is a comparison of the call's logit with what else may follow a line's number. The call's vector is moved
along the mean state at decisions, which adds one constant to that logit; the constant is the one with the best F1 on
windows of real documents, right programs and wrong ones before them alike. The documents should not be those that the
model was trained on: there it is surer of noise than it will ever be again.
"""

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.models.refiner.corpus import GENERATED, Corpus, example
from stages.models.refiner.tokenizer import REMOVE

WINDOWS, TOKENS = 240, 380
MOST = 3.0  # by which the logit may be moved


def calibrate(model: Any, tokenizer: Any, corpus: Corpus, seed: int) -> float:
    """Move the call's vector; returns by how much its logit has grown."""
    import torch  # noqa: PLC0415

    rng, call = Random(seed), tokenizer.convert_tokens_to_ids(REMOVE)
    margins: list[float] = []
    noise: list[bool] = []
    states = []
    names = [name for name in corpus.names if name != GENERATED] or list(corpus.names)
    for _ in range(WINDOWS):
        made = example(corpus.window(rng, TOKENS, tokenizer, rng.choice(names)), tokenizer, rng)
        with torch.no_grad():
            state = model.model(input_ids=torch.tensor([made.ids]), use_cache=False).last_hidden_state[0]
            state = state[made.decisions]
            logits = model.lm_head(state)
        ours = logits[:, call].clone()
        logits[:, call] = -torch.inf
        margins += (ours - logits.max(dim=1).values).tolist()
        noise += made.noise
        states.append(state.mean(dim=0))
    shift = best_shift(np.array(margins), np.array(noise))
    mean = torch.stack(states).mean(dim=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[call] += shift * mean / (mean @ mean)
    return shift


def best_shift(margins: npt.NDArray[np.float64], noise: npt.NDArray[np.bool_]) -> float:
    """What to add to `margins` so that removing those above 0 has the best F1."""
    shifts = np.linspace(-MOST, MOST, 121)
    scores = []
    for shift in shifts:
        gone = margins + shift > 0
        scores.append(2 * int((gone & noise).sum()) / max(int(gone.sum()) + int(noise.sum()), 1))
    return float(shifts[int(np.argmax(scores))])
