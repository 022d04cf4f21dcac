"""Documents through a model in one style each: cut, ask, clean, guard, and put together again."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import xxhash

from stages.guards import Guards
from stages.guards.check import EMPTY, PREFIX, REASONS, TRUNCATED
from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Finish, Request, Sampling
from stages.prompts import PromptFile, load_prompt
from stages.rephrase.answers import chosen, made_of, pairs_of
from stages.rephrase.confidence import LOW_CONFIDENCE, confidence, questions
from stages.rephrase.segments import Count, Segment, pack_lines, pack_sentences
from stages.rephrase.styles import Style

REWRITTEN, PARTIAL, ORIGINAL = "rewritten", "partial", "original"
DOCUMENT_EMPTY, DOCUMENT_SHORT, RESULT_SHORT = "document_empty", "document_short", "result_short"
SPARE = 2  # Nemotron-CC rejects answers of more than max_output - 2 tokens: they were probably cut
TEMPLATE = 64  # tokens that a chat template may put around a prompt
REFLECTION = "self-reflection"


@dataclass(frozen=True)
class Task:
    """A style with all that is asked in it. `samples` 0: nobody asks how sure the model is."""

    name: str
    style: Style
    prompt: PromptFile
    guards: Guards
    sampling: Sampling
    seed: int
    keep_rejected: bool
    language: str
    least_confidence: float = 0.0
    samples: int = 0
    beta: float = 0.7

    @property
    def instructions(self) -> str:
        return f"{self.prompt.system or ''}\n{self.prompt.user}"


@dataclass
class Work:
    """One document in one style, segment by segment: what it was, what it is, or why it stays."""

    id: str
    text: str
    segments: list[Segment] = field(default_factory=list)
    rewrites: list[str | None] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    why: str | None = None  # the document as a whole stays
    error: str | None = None
    result: str | None = None

    @property
    def decision(self) -> str:
        """`rewritten`, `partial: <reasons>` or `original: <reasons>`."""
        reasons = ", ".join(sorted({r for r in (*self.reasons, self.why) if r is not None}))
        if self.result is None:
            return f"{ORIGINAL}: {reasons}"
        return f"{PARTIAL}: {reasons}" if reasons else REWRITTEN

    @property
    def rejected(self) -> int:
        """Answers that were not taken."""
        return sum(reason in REASONS or reason == LOW_CONFIDENCE for reason in self.reasons)

    @property
    def confidence(self) -> float | None:
        """The mean over segments whose confidence was asked for."""
        return sum(self.confidences) / len(self.confidences) if self.confidences else None


def rewrite(task: Task, asker: Asker, count: Count, documents: Sequence[tuple[str, str | None]]) -> list[Work]:
    """What becomes of each document, given by id and text."""
    works = [Work(id_, text or "") for id_, text in documents]
    overhead = count([task.instructions.replace("{{text}}", "")])[0]
    requests: list[Request] = []
    for work in works:
        _cut(task, asker, count, overhead, work)
        requests += _requests(task, work)
    said = iter(asker.ask(requests))
    for work in works:
        _take(task, work, said)
    _guard(task, works)
    if task.samples:
        _doubt(task, asker, works)
    for work in works:
        _join(task, count, work)
    return works


def seed_of(task: Task, id_: str, *what: object) -> int:
    """A number that depends on seed, style and document, and on nothing that changes from run to run (methods 26.3)."""
    return xxhash.xxh3_64_intdigest("\n".join(map(str, (task.seed, task.name, id_, *what))).encode()) % (1 << 31)


def _cut(task: Task, asker: Asker, count: Count, overhead: int, work: Work) -> None:
    """Fill the segments, and the reasons of those that are not sent."""
    style = task.style
    if not work.text.strip():
        work.why = DOCUMENT_EMPTY
        return
    if style.min_document and count([work.text])[0] < style.min_document:
        work.why = DOCUMENT_SHORT
        return
    if style.cut == "sentences":
        work.segments = pack_sentences(work.text, style.max_input, count, task.language)
    else:
        limit = style.max_input - overhead - SPARE
        work.segments = pack_lines(work.text, max(limit, 1), style.min_segment, count)
    work.segments = list(_fitting(task, asker, count, overhead, work.segments))
    work.reasons = [segment.reason for segment in work.segments]
    work.rewrites = [None] * len(work.segments)


def _fitting(task: Task, asker: Asker, count: Count, overhead: int, segments: list[Segment]) -> Iterator[Segment]:
    """Segments; those for which the model's context has no room have a reason."""
    context = asker.engine.context
    room = None if context is None else context - task.sampling.max_tokens - overhead - TEMPLATE
    for segment, n in zip(
        segments, count([s.text for s in segments]) if room is not None else [0] * len(segments), strict=True
    ):
        yield segment if segment.reason or room is None or n <= room else Segment(segment.text, "segment_long")


def _requests(task: Task, work: Work) -> list[Request]:
    return [_request(task, work, n) for n, reason in enumerate(work.reasons) if reason is None]


def _request(task: Task, work: Work, number: int) -> Request:
    seed = seed_of(task, work.id, number) if task.sampling.temperature > 0 else None
    prompt = task.prompt.chat(text=work.segments[number].text)
    return Request(prompt, dataclasses.replace(task.sampling, seed=seed))


def _take(task: Task, work: Work, said: Iterator[Answer | Failure]) -> None:
    """The answers of one document: cleaned, or rejected for how they begin or end."""
    for number, reason in enumerate(work.reasons):
        if reason is not None:
            continue
        answer = next(said)
        if isinstance(answer, Failure):
            work.error = work.error or f"Failure: {task.name}, segment {number}: {answer.error}"
            continue
        work.answers.append(answer)
        text = made_of(answer.text, task.style.form, task.prompt.prefix)
        work.rewrites[number] = text
        if task.guards.truncated and _finish(task, answer) == "length":
            work.reasons[number] = TRUNCATED
        elif text is None:
            work.reasons[number] = PREFIX if answer.text.strip() else EMPTY


def _finish(task: Task, answer: Answer) -> Finish:
    """How the answer ended, with Nemotron-CC's rule for engines that do not say."""
    cut = answer.usage.completion_tokens > task.sampling.max_tokens - SPARE
    return "length" if answer.finish == "length" or cut else "stop"


def _guard(task: Task, works: list[Work]) -> None:
    """Reasons for rewrites that are not taken, all at once."""
    places = list(_open(works))
    reasons = task.guards.check_all(
        [work.segments[number].text for work, number in places],
        [work.rewrites[number] or "" for work, number in places],
        prompt=task.instructions,
    )
    for (work, number), reason in zip(places, reasons, strict=True):
        work.reasons[number] = reason


def _open(works: list[Work]) -> Iterator[tuple[Work, int]]:
    """Every rewrite that nothing speaks against so far."""
    for work in works:
        if work.error is None:
            yield from ((work, number) for number, reason in enumerate(work.reasons) if reason is None)


def _doubt(task: Task, asker: Asker, works: list[Work]) -> None:
    """Ask how sure the model is of each rewrite that passed the guards; too little is a reason."""
    places = list(_open(works))
    reflection = load_prompt(REFLECTION)
    requests = []
    for work, number in places:
        seeds = [seed_of(task, work.id, number, "sample", k) for k in range(task.samples)]
        segment, rewritten = work.segments[number].text, work.rewrites[number] or ""
        requests += questions(_request(task, work, number), segment, rewritten, reflection, seeds)
    said = iter(asker.ask(requests))
    for work, number in places:
        mine = [next(said) for _ in range(task.samples + 1)]
        answers = [answer for answer in mine if isinstance(answer, Answer)]
        work.answers += answers
        failure = next((answer for answer in mine if isinstance(answer, Failure)), None)
        if failure is not None:
            work.error = work.error or f"Failure: {task.name}, confidence in segment {number}: {failure.error}"
            continue
        *samples, reply = answers
        others = [made_of(sample.text, task.style.form, task.prompt.prefix) or "" for sample in samples]
        score = confidence(work.rewrites[number] or "", others, reply.text, task.beta)
        work.confidences.append(score)
        if score < task.least_confidence:
            work.reasons[number] = LOW_CONFIDENCE


def _join(task: Task, count: Count, work: Work) -> None:
    """Put the document together, unless nothing of it was rewritten, or too little is left."""
    accepted = [reason is None for reason in work.reasons]
    if work.error is not None or not any(accepted):
        return
    if task.style.form == "pairs":
        result = _with_pairs(task, count, work)
    else:
        parts = zip(work.segments, work.rewrites, accepted, strict=True)
        kept = [
            rewritten if taken else segment.text if task.keep_rejected else None for segment, rewritten, taken in parts
        ]
        result = "\n".join(part for part in kept if part is not None)
    if task.style.min_result and count([result])[0] < task.style.min_result:
        work.why = RESULT_SHORT
        return
    work.result = result


def _with_pairs(task: Task, count: Count, work: Work) -> str:
    """The document, and behind a blank line some of the pairs of each segment (methods 3.2)."""
    pairs: list[str] = []
    for number, reason in enumerate(work.reasons):
        if reason is None:
            found = pairs_of(work.rewrites[number] or "")
            pairs += chosen(found, count([work.segments[number].text])[0], seed_of(task, work.id, number, "pairs"))
    return "\n\n".join([work.text, *pairs])
