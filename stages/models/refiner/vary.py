"""Training windows made less like the documents they come from, so that no document is learnt by heart.

With 1,300 documents to learn from, a model of a million parameters knew them after an hour (macro F1 0.91 on
documents by people that it had learnt, 0.83 on others). Lines are left out, words are replaced, and what layers add is
dropped in part (Srivastava et al. 2014): what a line says by itself is less sure, what kind of line it is says more.
"""

from random import Random
from typing import Any

from stages.models.refiner.corpus import Example, Window


def thinned(rng: Random, window: Window, chance: float, most: float = 0.3) -> Window:
    """With `chance` a part of the lines is left out, up to `most` of them; one stays at least."""
    if rng.random() >= chance:
        return window
    share = rng.uniform(0, most)
    pairs = [pair for pair in zip(window.lines, window.noise, strict=True) if rng.random() >= share]
    lines, noise = zip(*(pairs or [(window.lines[0], window.noise[0])]), strict=True)
    return Window(window.first, lines, noise)


def blurred(rng: Random, examples: list[Example], chance: float, most: float = 0.25) -> list[Example]:
    """With `chance` a part of an example's tokens of text, up to `most`, are those of other places in the batch."""
    pool = [e.ids[place] for e in examples for place in _text(e)]
    made = []
    for e in examples:
        if pool and rng.random() < chance:
            share, ids = rng.uniform(0, most), list(e.ids)
            for place in _text(e):
                if rng.random() < share:
                    ids[place] = rng.choice(pool)
            made.append(e._replace(ids=ids))
        else:
            made.append(e)
    return made


def _text(e: Example) -> list[int]:
    """Where the tokens of the lines stand: between the bracket behind a line's number and the line's end."""
    return [place for number, end in zip(e.numbers, e.ends, strict=True) for place in range(number + 2, end)]


def dropping(torch: Any, model: Any, share: float) -> list[Any]:
    """Drop `share` of what each layer's attention and network add, while the model is training; returns the hooks."""

    def drop(module: Any, _: Any, output: Any) -> Any:
        return torch.nn.functional.dropout(output, share, training=module.training)

    ends = [end for layer in model.model.layers for end in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    return [end.register_forward_hook(drop) for end in ends] if share else []
