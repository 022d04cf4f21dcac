"""A refiner of one's own, for `refine`: a tiny Llama that writes ProX programs, trained in minutes on a CPU.

    headrace train refiner --output FOLDER --input labelled.parquet --pages pages.warc.gz --truth truth.parquet

Labels come from rows with `lines` and `keep` (labels by people), from pages beside their reference texts (a raw
extraction is labelled by what of it stands in the reference), and from an annotator: any engine that writes programs
for a sample of texts (`--annotator`, ProX's way). Pages without a reference text (`--unread`) are labelled by what two
extractors agree on. With `--teacher` boosted trees say of every line how likely it is noise: of documents with labels,
of pages that the extractors do not agree on, and of any text (`--texts`). Nothing is judged by what has no labels by
people or a reference. Generated boilerplate in clean text is mixed in always. One site in five, by a hash of its name,
is held back: half of those say how much a removal weighs, and on the other half the refiner is measured beside "keep
all" and the best rule of one number. `--start` goes on from a refiner that is there.
The folder holds what transformers writes, `headrace.json` (how to ask the model) and `training.json` (data, settings,
figures): `--set ProxChunks.engine=transformers:FOLDER` uses it.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cluster.errors import ConfigError
from cluster.shards import list_inputs
from cluster.storage import Folder
from pipelines.labelled import LONG_LINE, read_documents, read_texts, read_unread, rows_of, texts_of
from stages.models.ask import open_asker
from stages.models.refiner import evaluate, folder, judge
from stages.models.refiner.annotate import annotate
from stages.models.refiner.teacher import FOLDS, teach
from stages.models.refiner.tokenizer import train_tokenizer
from stages.models.refiner.train import Settings, train
from stages.models.spec import Spec, parse
from stages.refine.labels import (
    Document,
    draws_the_line,
    is_held_back,
    is_whole,
)
from stages.refine.prompt_format import PromptFormat

SPLIT = (
    "sites (documents where the site is unknown) whose SHA-256 is 0 modulo 5 are not learnt; of those an even quotient "
    "draws the line, an odd one judges"
)
UNDER_WAY = "training-under-way"  # a file, as long as it is
LEAST = 20  # documents below which there is nothing to learn from
OF_TOKENIZER = 4_000_000  # characters of a source that the tokenizer is fitted to


@dataclass(frozen=True)
class Labels:
    """Where labels come from: addresses of files, and documents that an annotator has labelled."""

    inputs: Sequence[str] = ()  # rows with `lines` and `keep`
    pages: Sequence[str] = ()
    truth: str | None = None  # reference texts of the pages
    unread: Sequence[str] = ()  # pages without one
    texts: Sequence[str] = ()  # rows with `text`, for the teacher
    annotated: Sequence[Document] = ()


def train_refiner(
    output: str,
    labels: Labels,
    settings: Settings | None = None,
    generated: int = judge.GENERATED_CHUNKS,
    judged: int | None = 100,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Read, train, measure and write; what came of it as plain data. `ConfigError` says what is wrong with the data.

    Measured on `judged` documents of each source at most, and on `generated` chunks with generated boilerplate.
    """
    settings = settings or Settings()
    documents, sources = read_documents(labels.inputs, labels.pages, labels.truth)
    documents += labels.annotated
    if len(documents) < LEAST:
        raise ConfigError(f"{len(documents)} labelled documents are too few to train on: {LEAST} are the least")
    agreed, rest, more = read_unread(labels.unread, labels.truth, rest=settings.teacher)
    texts, read = read_texts(labels.texts, labels.truth)
    if broken := sum(source["broken"] for source in more):
        tell(f"{broken} pages of --unread break an extractor, and teach nothing")
    learnt, line, held = split(documents)
    learnt += [d for d in agreed if not is_held_back(d.site)]
    tell(f"{len(learnt)} documents to learn from, {len(line)} to draw the line by, {len(held)} to judge by")
    target = Folder(output)
    target.put(UNDER_WAY, b"")  # a place that cannot be written is met before the training, not behind it
    begun = time.process_time()
    before = _refiner(settings.start) if settings.start else None
    if settings.teacher:
        learnt = softened(learnt, [*rest, *texts], [*line, *held], settings, tell)
    start, tokenizer = folder.load(before) if before else (None, None)
    tokenizer = tokenizer or train_tokenizer(vocabulary_texts(learnt), settings.shape.vocabulary)
    trained = train(learnt, tokenizer, settings, time.process_time, tell, start, line)
    seconds = time.process_time() - begun
    with TemporaryDirectory() as scratch:
        path = Path(scratch)
        folder.save(path, trained.model, tokenizer)
        model, tokenizer = folder.load(path)  # what is stored is what is measured
        generate, cost = evaluate.generator(model, tokenizer), evaluate.token_cost(tokenizer)
        found = judge.judge(learnt, held, generate, cost, folder.CHUNK_TOKENS, generated, judged)
        report = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "cpu_seconds": round(seconds, 1),
            "documents": {"learnt": _counts(learnt), "line": _counts(line), "held_back": _counts(held)},
            "split": SPLIT,
            "data_sha256": fingerprint([*documents, *agreed, *rest, *texts]),
            "sources": sources + more + read,
            "settings": asdict(replace(settings, steps=trained.steps, start=None)),
            "losses": trained.losses,
            "shift": trained.shift,
            "held_back": found,
        } | ({"start": folder.history(before)} if before else {})
        folder.write_json(path / folder.TRAINING, report)
        for file in sorted(path.iterdir()):
            target.put(file.name, file.read_bytes())
        target.delete(UNDER_WAY)
    return {"output": output, **report}


def softened(
    learnt: Sequence[Document],
    others: Sequence[Document],
    away: Sequence[Document],
    settings: Settings,
    tell: Callable[[str], None],
) -> list[Document]:
    """`learnt` with what a teacher says of them, and those of `others` that are none of `away`, which judge."""
    theirs = {line for document in away for line in document.lines if len(line) >= LONG_LINE}
    others = [d for d in others if not is_held_back(d.site) and theirs.isdisjoint(d.lines)]
    sites, kinds = {d.site for d in learnt}, {keep for d in learnt for keep in d.keep}
    if len(sites) < FOLDS or len(kinds) < 2:
        raise ConfigError(
            f"--teacher needs labels of both kinds and of {FOLDS} sites or more, found {len(sites)} sites: "
            "leave it out, or give more --input"
        )
    tell(f"the teacher learns from {len(learnt)} documents and labels {len(others)} more")
    taught, more = teach(learnt, others, dict(settings.mix.weights), settings.seed)
    return [*taught, *more]


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document], list[Document]]:
    """Those to learn from, those that draw the line, and those that judge: `SPLIT`."""
    learnt = [d for d in documents if not is_held_back(d.site)]
    line = [d for d in documents if draws_the_line(d.site)]
    return learnt, line, [d for d in documents if is_held_back(d.site) and not draws_the_line(d.site)]


def _spec(engine: str, who: str) -> Spec:
    try:
        return parse(engine, who)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _refiner(engine: str) -> Path:
    """The folder of a refiner that `headrace train refiner` wrote."""
    path = _spec(engine if ":" in engine else f"transformers:{engine}", "train refiner, --start").folder
    if path is None or not (path / folder.TRAINING).is_file():
        raise ConfigError(
            f"--start {engine}: no refiner of `headrace train refiner` is there (no {folder.TRAINING}); "
            "give its folder, or transformers:headrace-refiner for the one that comes with headrace"
        )
    return path


def annotated_documents(
    engine: str, inputs: Sequence[str], sample: int = 500, prompt_format: PromptFormat | None = None
) -> tuple[list[Document], dict[str, int]]:
    """`sample` texts of `inputs`, by a hash of the text, labelled by what `engine` writes; and why chunks have none.

    `prompt_format` None: the engine is a chat model. Else it is a refiner that is asked in its own form.
    """
    rows = [
        row for file in list_inputs(list(inputs)) for row in rows_of(file.uri, ("text",), "--annotate") if row["text"]
    ]
    rows.sort(key=lambda row: hashlib.sha256(row["text"].encode()).digest())
    texts = texts_of(rows[:sample])
    spec = _spec(engine, "train refiner, --annotator")
    asker = open_asker(spec, spec.model_id)
    try:
        return annotate(texts, asker, prompt_format)
    finally:
        asker.engine.close()


def vocabulary_texts(documents: Sequence[Document]) -> Iterator[str]:
    """Lines for the tokenizer: of each source as many, so that menus do not crowd out the languages."""
    left: Counter[str] = Counter()
    for document in documents:
        if not is_whole(document) and left[document.source] < OF_TOKENIZER:
            left[document.source] += sum(map(len, document.lines))
            yield from (line for line in document.lines if line)


def fingerprint(documents: Sequence[Document]) -> str:
    """SHA-256 of all lines and labels, in order."""
    found = hashlib.sha256()
    for document in documents:
        found.update(json.dumps([document.name, document.lines, document.keep], ensure_ascii=False).encode())
    return found.hexdigest()


def _counts(documents: Sequence[Document]) -> dict[str, int]:
    return dict(sorted(Counter(d.source for d in documents).items()))


def as_text(report: dict[str, Any]) -> str:
    """For people: each held-back set on a few lines."""
    lines = [f"{report['parameters']:,} parameters, {report['cpu_seconds']:g} CPU seconds, in {report['output']}"]
    for name, found in report["held_back"].items():
        lines.append(f"{name}: {found['refiner']['documents']} documents, {found['refiner']['lines']} lines")
        for rival in ("refiner", "best rule", "one rule", "keep all"):
            if rival in found:
                f = found[rival]
                title = f"{rival} ({f['rule']})" if "rule" in f else rival
                lines.append(
                    f"  {title:<34} noise F1 {f['f1']:.3f}  precision {f['precision']:.3f}  recall {f['recall']:.3f}"
                    f"  macro F1 {f['macro_f1']:.3f}  words kept {f['words_kept']:.3f}"
                )
    return "\n".join(lines)
