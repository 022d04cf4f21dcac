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
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.shards import list_inputs
from cluster.storage import Folder, open_input
from schemas.check import nearest
from stages.models.ask import open_asker
from stages.models.refiner import evaluate, folder, judge
from stages.models.refiner.annotate import Text, annotate
from stages.models.refiner.corpus import TAUGHT
from stages.models.refiner.teacher import teach
from stages.models.refiner.tokenizer import train_tokenizer
from stages.models.refiner.train import Settings, train
from stages.models.spec import Spec, parse
from stages.read_warc import ReadWarc
from stages.refine.agreed import from_unread
from stages.refine.labels import (
    Document,
    draws_the_line,
    from_page,
    is_held_back,
    is_whole,
    labelled_rows,
    raw_texts,
    unlabelled,
)
from stages.refine.prompt_format import PromptFormat
from stages.stage import Unreadable

LABELS, TRUTH = ("lines", "keep"), ("url", "text")
SPLIT = (
    "sites (documents where the site is unknown) whose SHA-256 is 0 modulo 5 are not learnt; of those an even quotient "
    "draws the line, an odd one judges"
)
UNDER_WAY = "training-under-way"  # a file, as long as it is
LONG_LINE = 40  # characters; a text that shares such a line with a document that judges is left out
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
    agreed, rest, more = read_unread(labels.unread, labels.truth)
    if broken := sum(source["broken"] for source in more):
        tell(f"{broken} pages of --unread break an extractor, and teach nothing")
    learnt, line, held = split(documents)
    learnt += [d for d in agreed if not is_held_back(d.site)]
    if settings.teacher:
        texts, read = read_texts(labels.texts)
        learnt, more = softened(learnt, [*rest, *texts], [*line, *held], settings, tell), more + read
    tell(f"{len(learnt)} documents to learn from, {len(line)} to draw the line by, {len(held)} to judge by")
    target = Folder(output)
    target.put(UNDER_WAY, b"")  # a place that cannot be written is met before the training, not behind it
    begun = time.process_time()
    before = _refiner(settings.start) if settings.start else None
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
            "data_sha256": fingerprint(documents + agreed),
            "sources": sources + more,
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
        row for file in list_inputs(list(inputs)) for row in _rows(file.uri, ("text",), "--annotate") if row["text"]
    ]
    rows.sort(key=lambda row: hashlib.sha256(row["text"].encode()).digest())
    texts = texts_of(rows[:sample])
    spec = _spec(engine, "train refiner, --annotator")
    asker = open_asker(spec, spec.model_id)
    try:
        return annotate(texts, asker, prompt_format)
    finally:
        asker.engine.close()


def read_documents(
    inputs: Sequence[str], pages: Sequence[str], truth: str | None
) -> tuple[list[Document], list[dict[str, Any]]]:
    """All labelled documents, and for each file what it is and its licences."""
    if bool(pages) != bool(truth):
        raise ConfigError("--pages and --truth go together: web archives, and the Parquet of their reference texts")
    if not inputs and not pages:
        raise ConfigError("nothing to learn from: give --input (rows with lines and keep) or --pages with --truth")
    documents: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(inputs)) if inputs else ():
        rows = _rows(file.uri, LABELS, "--input")
        try:
            documents += [document for document in labelled_rows(rows, "people") if any(document.lines)]
        except ValueError as error:
            raise ConfigError(f"{file.uri}: {error}") from error
        sources.append(_source(file.uri, rows))
    if truth:
        rows = [row for row in _rows(truth, TRUTH, "--truth") if row["text"] and not _is_prefix(row)]
        html = _html(pages, {row["url"] for row in rows})
        for row in rows:
            if row["url"] in html:
                site = str(row.get("site") or row["url"])
                documents += from_page(row["url"], site, str(row.get("lang") or "un"), html[row["url"]], row["text"])
        sources.append(_source(truth, rows))
    return documents, sources


def read_unread(pages: Sequence[str], truth: str | None) -> tuple[list[Document], list[Document], list[dict[str, Any]]]:
    """Pages of the archives that `truth` has no text of: those with labels, the others; and how many of each archive.

    A page is of the site that `truth` says, or of the one that its host belongs to there.
    """
    rows = _rows(truth, TRUTH, "--truth") if truth else []
    sites = {str(row["url"]): str(row.get("site") or row["url"]) for row in rows}
    names = set(sites.values())
    documents: list[Document] = []
    others: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(pages)) if pages else ():
        html = _html([file.uri])
        found: list[Document] = []
        broken = 0
        for url in sorted(html.keys() - {row["url"] for row in rows if row["text"]}):
            host = urlsplit(url).hostname or url
            above = (host.split(".", n)[-1] for n in range(host.count(".") + 1))
            site = sites.get(url) or next((name for name in above if name in names), host)
            labelled = from_unread(url, site, "un", html[url])
            broken += labelled is None
            found += labelled or []
            if labelled == []:
                others += [unlabelled(url, site, "un", f"{TAUGHT}/{way}", raw) for way, raw in raw_texts(html[url])]
        documents += found
        if not html:
            raise ConfigError(f"{file.uri}: no page in it; --unread takes web archives")
        used = len({document.name for document in found})
        name = file.uri.rpartition("/")[2]
        sources.append({"file": name, "unread": len(html), "agreed": used, "broken": broken})
    return documents, others, sources


def read_texts(addresses: Sequence[str]) -> tuple[list[Document], list[dict[str, Any]]]:
    """Texts without labels, and what each file is."""
    documents: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(addresses)) if addresses else ():
        rows = _rows(file.uri, ("text",), "--texts")
        found = [
            unlabelled(text.name, text.site, text.lang, f"{TAUGHT}/text", text.text)
            for text in texts_of([row for row in rows if row["text"]])
            if len(text.text) >= LONG_LINE
        ]
        documents += found
        sources.append(_source(file.uri, rows) | {"taught": len(found)})
    return documents, sources


def texts_of(rows: Sequence[dict[str, Any]]) -> list[Text]:
    return [
        Text(
            str(row.get("id") or n),
            urlsplit(row.get("url") or "").hostname or str(row.get("id") or n),
            str(row.get("lang") or "un"),
            row["text"],
        )
        for n, row in enumerate(rows)
    ]


def _is_prefix(row: dict[str, Any]) -> bool:
    """Whether the reference is only how the text begins."""
    return "prefix" in str(row.get("truth_kind") or "")


def _rows(uri: str, needed: tuple[str, ...], option: str) -> list[dict[str, Any]]:
    with open_input(uri) as opened:
        try:
            table = pq.read_table(opened)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"{uri}: no Parquet file: {error}") from error
    for name in needed:
        if name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise ConfigError(
                f"{uri}: no column {name!r}{hint} (there: {', '.join(table.column_names)}), given by {option}"
            )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _source(uri: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    licences = Counter(str(row.get("licence") or "unknown") for row in rows)
    return {"file": uri.rpartition("/")[2], "rows": len(rows), "licences": dict(licences.most_common())}


def _html(pages: Sequence[str], wanted: set[str] | None = None) -> dict[str, str]:
    """The pages of the archives, by URL; those of `wanted` alone if it is given."""
    reader, found = ReadWarc(), {}
    for file in list_inputs(list(pages)):
        with open_input(file.uri) as opened:
            for piece in reader.split(opened, file.uri, file.size):
                for table in reader.open()(opened, piece):
                    if not isinstance(table, Unreadable):
                        pairs = zip(*(table.column(name).to_pylist() for name in ("url", "html")), strict=True)
                        found.update({url: html for url, html in pairs if html and (wanted is None or url in wanted)})
    return found


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
