"""A document in pieces that a translator can take, and the document again from what it made of them.

A piece is a run of lines; a line that is too long is several runs of sentences. Blank lines, indents and what has no
letters are never shown to the model: they stand in the result as they stood in the text.
"""

from collections.abc import Sequence
from typing import NamedTuple

from stages.rephrase.answers import strip_opening, strip_quotes
from stages.rephrase.segments import Count, pack_lines, pack_sentences


class Piece(NamedTuple):
    """A part of a document, and what stands between it and the next one: a line break, or nothing within a line."""

    text: str
    joint: str

    @property
    def lines(self) -> list[str]:
        """What the model is shown: lines with letters, without indents."""
        return [line.strip() for line in self.text.split("\n") if has_letters(line)]


def pieces_of(text: str, limit: int, count: Count, language: str = "en") -> list[Piece]:
    """Pieces of `text`, of at most `limit` tokens unless one sentence has more."""
    pieces: list[Piece] = []
    for segment in pack_lines(text, limit, 0, count):
        if segment.reason is None or not has_letters(segment.text):
            pieces.append(Piece(segment.text, "\n"))
            continue
        runs = [run.text for run in pack_sentences(segment.text, limit, count, language)]
        body = segment.text.strip()
        indent, _, tail = segment.text.partition(body)
        runs[0] = indent + runs[0]
        runs[-1] += tail
        pieces += [Piece(run, "") for run in runs[:-1]]
        pieces.append(Piece(runs[-1], "\n"))
    return pieces


def read_piece(reply: str, piece: Piece) -> str | None:
    """What a reply makes of a piece, in the lines of the piece; None where it has another number of lines.

    Opening remarks go only where the reply does not fit with them, quotation marks only where the piece has none.
    """
    wanted = len(piece.lines)
    for said in (reply, strip_opening(reply.strip())):
        lines = [line.strip() for line in said.split("\n") if line.strip()]
        if len(lines) == wanted:
            quoted = strip_quotes("\n".join(piece.lines)) != "\n".join(piece.lines)
            bare = strip_quotes("\n".join(lines)).split("\n")
            return filled(piece, lines if quoted or len(bare) != wanted else bare)
    return None


def filled(piece: Piece, lines: Sequence[str]) -> str:
    """The piece with `lines` in place of its own that have letters."""
    new = iter(lines)
    return "\n".join(
        line.replace(line.strip(), next(new), 1) if has_letters(line) else line for line in piece.text.split("\n")
    )


def joined(pieces: Sequence[Piece], texts: Sequence[str], blank: str = " ") -> str:
    """The document: `texts` in place of the pieces, `blank` between two runs of sentences of one line."""
    joints = [piece.joint or blank for piece in pieces]
    joints[-1:] = [""]
    return "".join(text + joint for text, joint in zip(texts, joints, strict=True))


def has_letters(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(char.isalpha() for char in text)
