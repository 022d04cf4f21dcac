"""Where the trained refiner draws its line: how much surer it should be of noise than of text.

The decision is a comparison of the call's logit with what else may follow a line's number. The call's vector is moved
along the mean state at decisions, which adds one constant to that logit; the constant is best by F1 of noise and macro
F1 alike, in the mean over the sources of real documents. (F1 of noise alone would let main text go; of all lines
together, those of the source with most noise would decide for the others.) The documents should not be those that the
model was trained on: there it is surer of itself than it will ever be again. They are asked for as the stage does, in
chunks, and each decision stands behind the model's own ones, not behind right ones: they are asked for several times,
each time with the last decisions, by the last line, written in.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.models.refiner.corpus import HALF, TAUGHT, Window, example, noise_odds
from stages.models.refiner.evaluate import Flags, f1, macro_f1, token_cost
from stages.models.refiner.folder import CHUNK_TOKENS
from stages.models.refiner.tokenizer import REMOVE
from stages.refine.labels import Document
from stages.refine.lines import chunk

Margins = npt.NDArray[np.float64]

DOCUMENTS = 30  # of each source
ROUNDS = 3
MOST = 3.0  # by which the logit may be moved


def calibrate(model: Any, tokenizer: Any, documents: Sequence[Document]) -> float:
    """Move the call's vector; returns by how much its logit has grown. 0 where no document has noise."""
    import torch  # noqa: PLC0415

    call = tokenizer.convert_tokens_to_ids(REMOVE)
    asked = [(name, window) for name, windows in windows_of(documents, tokenizer).items() for window in windows]
    if not asked:
        return 0.0
    gone: list[Sequence[bool]] = [[n > HALF for n in noise_odds(window.lines, window.noise)] for _, window in asked]
    shift, states = 0.0, list[Any]()
    for _ in range(ROUNDS):
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        said, states = list[list[float]](), []
        for i, (name, window) in enumerate(asked):
            made = example(window, tokenizer, gone=gone[i])
            with torch.no_grad():
                state = model.model(input_ids=torch.tensor([made.ids]), use_cache=False).last_hidden_state[0]
                logits = model.lm_head(state[made.decisions])
            states.append(state[made.decisions].mean(dim=0))
            ours = logits[:, call].clone()
            logits[:, call] = -torch.inf
            said.append((ours - logits.max(dim=1).values).tolist())
            told = zip(window.lines, said[-1], window.noise, strict=True)
            found[name] += [(margin, odds > HALF) for line, margin, odds in told if line]
        both = [zip(*pairs, strict=True) for pairs in found.values()]
        shift = best_shift([(np.array(margins), np.array(noise)) for margins, noise in both])
        gone = [[margin + shift > 0 for margin in margins] for margins in said]
    mean = torch.stack(states).mean(dim=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[call] += shift * mean / (mean @ mean)
    return shift


def windows_of(documents: Sequence[Document], tokenizer: Any) -> dict[str, list[Window]]:
    """Chunks of documents as the stage makes them, by source; of sources with noise that is sure."""
    sources: dict[str, list[Document]] = defaultdict(list)
    for document in sorted(documents, key=lambda d: hashlib.sha256(d.name.encode()).digest()):
        if not document.source.startswith(TAUGHT) and len(sources[document.source]) < DOCUMENTS:
            sources[document.source].append(document)
    cost = token_cost(tokenizer)
    found: dict[str, list[Window]] = {}
    for name, some in sources.items():
        if all(kept or not line for document in some for line, kept in zip(document.lines, document.keep, strict=True)):
            continue
        found[name] = [
            Window(part.first, lines, tuple(float(not kept) for kept in document.keep[part.first : part.last + 1]))
            for document in some
            for part in chunk("\n".join(document.lines), cost, CHUNK_TOKENS)
            if part.tokens <= CHUNK_TOKENS and any(lines := document.lines[part.first : part.last + 1])
        ]
    return {name: windows for name, windows in found.items() if windows}


def best_shift(sources: Sequence[tuple[Margins, Flags]]) -> float:
    """What to add to margins so that removing those above 0 has the best F1s, in the mean over `sources`.

    The least of those that are alike.
    """

    def score(margins: Margins, noise: Flags) -> float:
        return f1(margins > 0, noise) + macro_f1(margins > 0, noise)

    shifts = np.array(sorted(np.linspace(-MOST, MOST, 121), key=abs))
    scores = [float(np.mean([score(margins + shift, noise) for margins, noise in sources])) for shift in shifts]
    return float(shifts[int(np.argmax(scores))])
