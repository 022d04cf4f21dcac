"""Where the trained refiner draws its line: how much surer it should be of noise than of text.

The decision is a comparison of the call's logit with what else may follow a line's number. The call's vector is moved
along the mean state at decisions, which adds one constant to that logit; the constant has the best macro F1, in the
mean over the sources of real documents, right programs and wrong ones before them alike. (F1 of noise alone
would let main text go; of all lines together, those of the source with most noise would decide for the others.) The
documents should not be those that the model was trained on: there it is surer of itself than it will ever be again.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.models.refiner.corpus import GENERATED, HALF, Corpus, example
from stages.models.refiner.evaluate import Flags, macro_f1
from stages.models.refiner.tokenizer import REMOVE

Margins = npt.NDArray[np.float64]

WINDOWS, TOKENS = 60, 580  # of each source
MOST = 3.0  # by which the logit may be moved


def calibrate(model: Any, tokenizer: Any, corpus: Corpus, seed: int) -> float:
    """Move the call's vector; returns by how much its logit has grown."""
    import torch  # noqa: PLC0415

    call = tokenizer.convert_tokens_to_ids(REMOVE)
    found: list[tuple[Margins, Flags]] = []
    states = []
    for name in [name for name in corpus.names if name != GENERATED] or list(corpus.names):
        rng, margins, noise = Random(seed), [], []
        for _ in range(WINDOWS):
            made = example(corpus.window(rng, TOKENS, tokenizer, name), tokenizer, rng)
            with torch.no_grad():
                state = model.model(input_ids=torch.tensor([made.ids]), use_cache=False).last_hidden_state[0]
                state = state[made.decisions]
                logits = model.lm_head(state)
            ours = logits[:, call].clone()
            logits[:, call] = -torch.inf
            margins += (ours - logits.max(dim=1).values).tolist()
            noise += [odds > HALF for odds in made.noise]
            states.append(state.mean(dim=0))
        found.append((np.array(margins), np.array(noise)))
    shift = best_shift(found)
    mean = torch.stack(states).mean(dim=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[call] += shift * mean / (mean @ mean)
    return shift


def best_shift(sources: Sequence[tuple[Margins, Flags]]) -> float:
    """What to add to margins so that removing those above 0 has the best macro F1, in the mean over `sources`."""
    shifts = np.linspace(-MOST, MOST, 121)
    scores = [float(np.mean([macro_f1(margins + shift > 0, noise) for margins, noise in sources])) for shift in shifts]
    return float(shifts[int(np.argmax(scores))])
