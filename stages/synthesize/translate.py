"""Documents in other languages, piece by piece with their paragraphs: TransWeb-Edu, Translationese (methods 15)."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards, guards_of
from stages.guards.check import PREFIX
from stages.guards.language import labels
from stages.guards.prefix import without_prefix
from stages.language import BUNDLED, Language
from stages.models.ask import Asker
from stages.models.engine import Answer
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rephrase.segments import count_words
from stages.stage import EXECUTION, Resources, Rows, Transform, set_columns
from stages.synthesize.heirs import ADDED
from stages.synthesize.pieces import Piece, has_letters, joined, pieces_of, read_piece
from stages.synthesize.writing import (
    DOCUMENT_EMPTY,
    Draft,
    Row,
    Writer,
    guard,
    open_writer,
    prepare,
    texts_of,
    writer_of,
)
from stages.text.words import check_language

NAME = "Translate"
DOCUMENT_LANGUAGE, NO_LETTERS = "document_language", "document_no_letters"
LINES, UNCHANGED = "translation_lines", "translation_unchanged"
OTHER_LANGUAGE, UNSURE = "translation_language", "translation_language_score"
NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "mr": "Marathi",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
UNSPACED = ("ja", "th", "zh", "lo", "km", "my")  # no blank stands between sentences
# Languages differ in length, scripts in more than that; the language itself is looked at for the document as a whole.
GUARDS = Guards(min_length_ratio=0.15, max_length_ratio=6.0, language=False)


@dataclass(frozen=True)
class Translate:
    """Each document in each of `languages`, a row each (TransWeb-Edu, arXiv 2410.23956: fr, de, es).

    The model sees runs of lines of at most `piece_tokens` tokens at 1.3 a word, and must give as many lines; blank
    lines, indents and lines without letters stay. A document of which one piece is no translation is dropped with the
    reason: `translation_lines`; those of stages/guards (`guards` are changes to them). Of the whole, `lang` and
    `lang_score` are what `language_model` says: `translation_language` is another than was asked for,
    `translation_language_score` is below `threshold`; both count from `language_chars` characters on.
    `translation_unchanged` is the document again. `document_language` was in that language already,
    `document_no_letters` and `document_empty` have nothing to translate. A call that failed leaves a dead row.

    `names` are names of languages that this stage does not know, by their labels: {gsw: Swiss German}. Perplexity
    behind it drops what a small model of the language finds odd (Translationese, arXiv 2403.13638).
    """

    languages: tuple[str, ...] = ("fr", "de", "es")
    engine: str = field(default="transformers:mistralai/Mistral-7B-Instruct-v0.3?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    prompt: str = "translate"
    names: dict[str, str] = field(default_factory=dict, hash=False)
    piece_tokens: int = 300
    language_model: str = BUNDLED
    threshold: float = 0.65
    language_chars: int = 100
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    language: str = "en"
    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.LANG, c.LANG_SCORE, c.VARIANT])
    rows: ClassVar[Rows] = "any"

    def __post_init__(self) -> None:
        if not self.languages or len(set(self.languages)) < len(self.languages):
            raise ValueError(f"{NAME}.languages should be labels, each once, got {self.languages!r}")
        for code in self.languages:
            if code not in NAMES and code not in self.names:
                raise ValueError(f"{NAME}: what is {code!r} called? Set names={{{code}: its English name}}")
        check_language(self.language)
        prepare(self, [self.prompt], None, ("text", "language"), piece_tokens=1, threshold=0, language_chars=0)
        checksum = Language(self.languages, 0.0, self.language_model).model_checksum
        object.__setattr__(self, "language_checksum", checksum)
        self._guards()

    @property
    def resources(self) -> Resources:
        return parse(self.engine, NAME).resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        writer = open_writer(self, ledger)
        return lambda table: writer.write(table, self._write)

    def write(self, table: pa.Table, asker: Asker) -> pa.Table:
        """The rows of the documents of `table`, by an engine that is open."""
        return writer_of(self, asker).write(table, self._write)

    def _write(self, table: pa.Table, writer: Writer) -> pa.Table:
        ids, texts = texts_of(table)
        there = labels(texts, self.language_model, self.language_checksum)
        pieces = [pieces_of(text, self.piece_tokens, count_words, self.language) for text in texts]
        drafts = [
            draft
            for row, text in enumerate(texts)
            for code in self.languages
            if writer.wants(ids[row], code)
            for draft in self._drafts(row, text, pieces[row], code, there[row][0])
        ]
        writer.ask(ids, drafts, load_prompt(self.prompt), self._read)
        guard(self._guards(), drafts, lambda draft: draft.found or "")
        groups = [list(group) for _, group in groupby(drafts, key=lambda draft: (draft.row, draft.parts[0]))]
        whole = [self._whole(group, texts[group[0].row], pieces[group[0].row]) for group in groups]
        made = writer.rows(table, self._checked(writer, whole), self.adds)
        if c.TITLE.name in made.column_names:  # it is in the document's language
            made = set_columns(made, title=pa.nulls(made.num_rows, c.TITLE.type))
        return made

    def _drafts(self, row: int, text: str, pieces: list[Piece], code: str, there: str | None) -> list[Draft[str]]:
        """The pieces that are shown; or the reason why the document is not."""
        reason = DOCUMENT_EMPTY if not text.strip() else None if has_letters(text) else NO_LETTERS
        if reason is None and there == code:
            reason = DOCUMENT_LANGUAGE
        if reason is not None:
            return [Draft(row, (code,), text, reason=reason)]
        name = self.names.get(code) or NAMES[code]
        return [
            Draft(row, (code, str(number)), piece.text, {"text": "\n".join(piece.lines), "language": name})
            for number, piece in enumerate(pieces)
            if piece.lines
        ]

    def _read(self, draft: Draft[str], answer: Answer) -> str | None:
        if answer.finish == "length" or not answer.text.strip():
            return None  # the guards say so
        said = without_prefix(answer.text, load_prompt(self.prompt).prefix)
        if said is None:
            return PREFIX
        draft.found = read_piece(said, Piece(draft.source, ""))
        return LINES if draft.found is None else None

    def _whole(self, drafts: list[Draft[str]], text: str, pieces: list[Piece]) -> Draft[str]:
        """The document of some pieces: in one language, with all that was said of it."""
        first, code = drafts[0], drafts[0].parts[0]
        whole: Draft[str] = Draft(first.row, (code,), text, prompt=first.prompt)
        whole.answers = [answer for draft in drafts for answer in draft.answers]
        whole.reason = next((draft.reason for draft in drafts if draft.reason), None)
        whole.error = next((draft.error for draft in drafts if draft.error), None)
        if whole.open:
            found = {int(draft.parts[1]): draft.found or "" for draft in drafts}
            parts = [found.get(number, piece.text) for number, piece in enumerate(pieces)]
            whole.found = joined(pieces, parts, "" if code in UNSPACED else " ")
            whole.reason = UNCHANGED if whole.found.strip() == text.strip() else None
        return whole

    def _checked(self, writer: Writer, drafts: list[Draft[str]]) -> list[Row]:
        """Rows with the language that each is in."""
        found = labels([draft.found or "" for draft in drafts], self.language_model, self.language_checksum)
        rows = []
        for draft, (label, score) in zip(drafts, found, strict=True):
            if draft.open and len(draft.found or "") >= self.language_chars:
                wrong = OTHER_LANGUAGE if label != draft.parts[0] else UNSURE if score < self.threshold else None
                draft.reason = wrong
            more = {c.LANG.name: label, c.LANG_SCORE.name: score} if draft.found else {}
            rows.append(
                (writer.heir(draft, draft.found or ""), {**more, c.VARIANT.name: f"translated {draft.parts[0]}"})
            )
        return rows

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME, GUARDS)
