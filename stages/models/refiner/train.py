"""Train the refiner: a Llama of under a million parameters, on a CPU in minutes.

The loss is that of the program's tokens, and beside it what a line's end must know in the layer before the last: the
line's number, its shape, and whether it is main text or noise. So the model has decided when it begins to write, and
writing is a matter of looking up: heads of the last layer are shown where, from a line's number in the program to the
line's end in the text and, since a line is judged by what comes behind it too, to the end of the next one. Hidden
matrices learn by Muon (Jordan 2024), the rest by AdamW; windows grow while the rate falls.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

from stages.models.refiner.calibrate import calibrate
from stages.models.refiner.corpus import Corpus, Example, Mix, example
from stages.models.refiner.muon import Muon
from stages.models.refiner.tokenizer import TRIPLES
from stages.models.refiner.vary import blurred, dropping, thinned
from stages.refine.labels import Document

Clock = Callable[[], float]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Shape:
    """Of the model: 0.98 million parameters."""

    vocabulary: int = 2560
    hidden: int = 128
    intermediate: int = 256
    layers: int = 4
    heads: int = 4
    positions: int = 2048


class Phase(NamedTuple):
    """Until this share of the steps, windows of `low` to `high` tokens, `tokens` a batch."""

    until: float
    low: int
    high: int
    tokens: int


@dataclass(frozen=True)
class Settings:
    """Of the training. `steps` None: as many as fit `minutes` of CPU time, measured over the first ones.

    `start`: a refiner to go on from, with its tokenizer, at half the rates and with the last windows alone.
    """

    minutes: float = 18.0
    steps: int | None = None
    seed: int = 1
    shape: Shape = field(default_factory=Shape)
    mix: Mix = field(default_factory=Mix)
    windows: tuple[Phase, ...] = (Phase(0.2, 40, 130, 800), Phase(0.6, 96, 300, 1500), Phase(1.0, 160, 620, 2400))
    rate: float = 3e-3
    muon_rate: float = 2e-2
    line_weight: float = 1.0
    dropout: float = 0.1
    teacher: bool = False  # labels are softened, and more documents labelled, by boosted trees
    start: str | None = None


class Trained(NamedTuple):
    """The model and its tokenizer, how many steps it took, the losses on the way (step, program, lines).

    `shift`: what was added to the logit of a removal at the end (`calibrate`).
    """

    model: Any
    tokenizer: Any
    steps: int
    losses: list[tuple[int, float, float]]
    shift: float


MEASURED = 4  # batches of each phase from which the time of all is told
UPDATING = 1.15  # a step's time over that of its batch and gradients
ROPE_THETA = 1e6  # most pairs of a head's 32 dimensions turn so slowly that they can match numbers at any distance
DECIDING = 3.0  # what a decision weighs, where another token of the program weighs 1
LOOKING, AHEAD, LOOK_WEIGHT = 2, 1, 0.2  # heads of the last layer that are shown where to look, and what that weighs
SHAPES, SHAPE_WEIGHT = 4, 1.0  # figures of a line's shape, and what they weigh
SPREAD = 0.1  # of the vectors of tokens, at the beginning
ONCE_MORE = 0.5  # of the rates, where a trained model is the start
WARM_UP, FALLING = 40, 0.7  # steps to the highest rate; the share of them, at the end, over which it falls to nothing


def new_model(shape: Shape, tokenizer: Any) -> Any:
    """A Llama with weights drawn at random."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    Numbers(model, tokenizer).spread()
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


class Numbers:
    """Keeps a number's vector the sum of its digits', so that what is learnt of one number holds for all thousand.

    Vectors are long from the beginning: they are the output's too (tied), and with short ones no number can be told
    from the others for sure until each has been seen often.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        import torch  # noqa: PLC0415

        self.vectors = model.get_input_embeddings().weight
        self.rows = torch.tensor([tokenizer.convert_tokens_to_ids(number) for number in TRIPLES])

    def spread(self) -> None:
        """Vectors to begin with."""
        import torch  # noqa: PLC0415

        with torch.no_grad():
            self.vectors.normal_(0, SPREAD)
            places = torch.randn(3, 10, self.vectors.shape[1]) * SPREAD
            a, b, c = places[0][:, None, None], places[1][None, :, None], places[2][None, None]
            self.vectors[self.rows] = (a + b + c).reshape(len(self.rows), -1)

    def project(self, values: Any) -> None:
        """The rows of `values` that are numbers' made the nearest sums of digits."""
        cube = values[self.rows].view(10, 10, 10, -1)
        parts = [cube.mean(dim=axes, keepdim=True) for axes in ((1, 2), (0, 2), (0, 1))]
        whole = cube.mean(dim=(0, 1, 2), keepdim=True)
        values[self.rows] = (sum(parts) - 2 * whole).reshape(len(self.rows), -1)


def train(
    documents: Sequence[Document],
    tokenizer: Any,
    settings: Settings,
    clock: Clock,
    tell: Tell = print,
    start: Any = None,
    line: Sequence[Document] = (),
) -> Trained:
    """Train on `documents`; the same seed and `steps` give the same model on one kind of machine.

    `start`: the model to go on from, None for a new one. `line`: documents to draw the line by (`calibrate`).
    """
    import torch  # noqa: PLC0415

    torch.manual_seed(settings.seed)
    if start:
        settings = replace(settings, windows=settings.windows[-1:])
    rng = Random(settings.seed)
    corpus = Corpus(documents, settings.mix)
    model = (start or new_model(settings.shape, tokenizer)).train()
    head = torch.nn.Linear(model.config.hidden_size, 2 + SHAPES)
    update = _optimizers(torch, model, head, Numbers(model, tokenizer), settings)
    steps = settings.steps or steps_for(torch, model, head, corpus, tokenizer, settings, clock)
    tell(f"{steps} steps")
    hooks = dropping(torch, model, settings.dropout)
    begun, sums = clock(), [0.0, 0.0]
    losses: list[tuple[int, float, float]] = []
    for step in range(1, steps + 1):
        part = (step - 1) / steps
        program, lines = _loss(torch, model, head, batch(rng, corpus, tokenizer, settings, part))
        (program + settings.line_weight * lines).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update((ONCE_MORE if start else 1.0) * min(1.0, step / WARM_UP) * min(1.0, (1 - part) / FALLING))
        sums = [sums[0] + float(program.detach()), sums[1] + float(lines.detach())]
        if step % 100 == 0 or step == steps:
            since = step - (losses[-1][0] if losses else 0)
            losses.append((step, round(sums[0] / since, 4), round(sums[1] / since, 4)))
            tell(f"step {step} of {steps}: program {losses[-1][1]}, lines {losses[-1][2]}, {clock() - begun:.0f} s")
            sums = [0.0, 0.0]
    for hook in hooks:
        hook.remove()
    shift = calibrate(model.eval(), tokenizer, line or documents)
    return Trained(model, tokenizer, steps, losses, shift)


def steps_for(
    torch: Any, model: Any, head: Any, corpus: Corpus, tokenizer: Any, settings: Settings, clock: Clock
) -> int:
    """How many steps fit the minutes that are given, by the time that batches of each phase take here."""
    rng, before, seconds = Random(settings.seed), 0.0, 0.0
    for phase in settings.windows:
        taken = []
        for _ in range(MEASURED + 1):
            begun = clock()
            sum(_loss(torch, model, head, batch(rng, corpus, tokenizer, settings, before))).backward()
            taken.append(clock() - begun)
        seconds += (phase.until - before) * sum(taken[1:]) / MEASURED * UPDATING
        before = phase.until
    model.zero_grad()
    head.zero_grad()
    return max(1, int(settings.minutes * 60 / max(seconds, 1e-6)))


def batch(rng: Random, corpus: Corpus, tokenizer: Any, settings: Settings, part: float) -> list[Example]:
    """Windows of about one length, `batch_tokens` tokens in all."""
    phase = next((phase for phase in settings.windows if part < phase.until), settings.windows[-1])
    tokens = rng.randint(phase.low, phase.high)
    windows = [corpus.window(rng, tokens, tokenizer) for _ in range(max(4, phase.tokens // tokens))]
    varied = [thinned(rng, window, settings.mix.thinned) for window in windows]
    return blurred(rng, [example(window, tokenizer, rng) for window in varied], settings.mix.blurred)


def _optimizers(torch: Any, model: Any, head: Any, numbers: Numbers, settings: Settings) -> Callable[[float], None]:
    """A function that makes one step, at a share of the highest rates."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = Muon(matrices)
    adam = torch.optim.AdamW([*rest, *head.parameters()], lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)

    def step(share: float) -> None:
        for group in adam.param_groups:
            group["lr"] = settings.rate * share
        numbers.project(numbers.vectors.grad)
        adam.step()
        adam.zero_grad()
        with torch.no_grad():
            numbers.project(numbers.vectors)
        muon.step(settings.muon_rate * share)

    return step


def _loss(torch: Any, model: Any, head: Any, examples: list[Example]) -> tuple[Any, Any]:
    """Of the programs' tokens, and of the lines. Padding stands behind, where a causal model does not look."""
    longest = max(len(e.ids) for e in examples)
    pad = model.config.pad_token_id
    ids = torch.tensor([e.ids + [pad] * (longest - len(e.ids)) for e in examples])
    states = model.model(input_ids=ids, use_cache=False, output_hidden_states=True)
    rows = [i for i, e in enumerate(examples) for _ in range(len(e.ids) - e.answer)]
    places = [p for e in examples for p in range(e.answer - 1, len(e.ids) - 1)]
    logits = model.lm_head(states.last_hidden_state[rows, places])
    targets = torch.tensor([token for e in examples for token in e.targets])
    said = torch.log_softmax(logits, dim=-1)
    each = -said.gather(1, targets[:, None])[:, 0]
    at = {place: i for i, place in enumerate(zip(rows, places, strict=True))}
    deciding = torch.tensor([at[i, place] for i, e in enumerate(examples) for place in e.decisions])
    noise = torch.tensor([odds for e in examples for odds in e.noise])
    stays = torch.tensor([token for e in examples for token in e.stays])
    either = noise * said[deciding, examples[0].goes] + (1 - noise) * said[deciding, stays]
    weight = len(rows) + (DECIDING - 1) * len(deciding)
    program = (each.sum() - each[deciding].sum() - DECIDING * either.sum()) / weight
    lines = _line_loss(torch, model, head, states.hidden_states[-2], examples, ids)
    return program, lines + LOOK_WEIGHT * _look_loss(torch, model, states.hidden_states[-2], examples)


def _look_loss(torch: Any, model: Any, states: Any, examples: list[Example]) -> Any:
    """How far heads of the last layer are from looking, where a line is named, at its end and at the next line's.

    Attention is worked out at these places alone: kernels that are quick do not tell where they look.
    """
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb  # noqa: PLC0415

    layer = model.model.layers[-1]
    inner, size = layer.input_layernorm(states), layer.self_attn.head_dim

    def heads(projection: Any) -> Any:
        return projection(inner).unflatten(-1, (-1, size))[:, :, : LOOKING + AHEAD].transpose(1, 2)

    turns = model.model.rotary_emb(states, torch.arange(states.shape[1])[None])
    query, key = apply_rotary_pos_emb(heads(layer.self_attn.q_proj), heads(layer.self_attn.k_proj), *turns)
    missed = []
    for i, e in enumerate(examples):
        scores = query[i][:, e.decisions] @ key[i].transpose(1, 2) / size**0.5
        behind = torch.arange(states.shape[1])[None] > torch.tensor(e.decisions)[:, None]
        found = scores.masked_fill(behind, -torch.inf).log_softmax(-1)
        missed.append(-found[:LOOKING, range(len(e.ends)), e.ends].flatten())
        if len(e.ends) > AHEAD:
            missed.append(-found[LOOKING:, range(len(e.ends) - AHEAD), e.ends[AHEAD:]].flatten())
    return torch.cat(missed).mean()


def _line_loss(torch: Any, model: Any, head: Any, states: Any, examples: list[Example], ids: Any) -> Any:
    """What a line's end must know: whether it and the line before it are noise, its shape, and the line's number."""
    rows = [i for i, e in enumerate(examples) for _ in e.ends]
    found = states[rows, [p for e in examples for p in e.ends]]
    found = torch.nn.functional.rms_norm(found, found.shape[-1:])
    noise = torch.tensor([[n, b] for e in examples for n, b in zip(e.noise, [0.0, *e.noise], strict=False)])
    shape = torch.tensor([line for e in examples for line in e.shapes])
    told = head(found)
    bits = torch.nn.functional.binary_cross_entropy_with_logits(told[:, :2], noise, reduction="none").mean(0)
    seen = torch.nn.functional.mse_loss(told[:, 2:], shape)
    numbers = ids[rows, [p for e in examples for p in e.numbers]]
    number = torch.nn.functional.cross_entropy(model.lm_head(found), numbers)
    return bits[0] + 0.5 * bits[1] + SHAPE_WEIGHT * seen + 0.3 * number


def settings_of(settings: Settings) -> dict[str, Any]:
    """As plain data, for training.json."""
    return asdict(settings)
