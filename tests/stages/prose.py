"""Texts for the tests of words and heuristic filters, and datatrove's verdict on a text."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SETS = ("webtext-dev.parquet", "neardup-news-docs-dev.parquet", "pages-dev.truth.parquet")

MILL = """The mill stands below the village, where the stream that comes down from the hills is at its strongest. \
It was built in 1782 by a farmer who had read about wheels that turn with the weight of the water and not with its \
push, and it has ground the corn of four villages ever since. Don't ask the miller how it works: he'll tell you, and \
you won't be home before dark!

"We have a race," he says, "and we have a pond, and between them there's a gate." The gate is made of oak. When it \
is lifted the water runs along the headrace to the wheel, fills the buckets one by one and carries them down.
Is it old? It is; but it's as sound as the day it was made. The stones were dressed last spring (for £1,250.50, he \
notes) and the teeth of the great gear, which are of apple wood, were replaced with new ones in the year 2019."""

TEXTS = (
    MILL,
    MILL.replace("\n", "\r\n"),
    "",
    "   \n\t ",
    "Menu\nHome\nAbout us\nContact\nHome\nAbout us\n- one\n- two\n• three\nRead more...\nRead more…",
    "He said: \".'' ''b\" and ''quoted'' text.'' ''Then' ''more''.",
    "At 5p.m. (or 6 p.m.), Ph.D. students e-mailed john.doe@example.co.uk; see http://example.com/a?b=c&d=e#f ... :-) "
    "it's US$5.00/kg, 10km/h, don't you think?!  Twice  spaced.\tTabs. no\u00a0break. line\u2028separator. \u3000wide",
    "我能吞下玻璃而不伤身体。这句话很短！\n私はガラスを食べられます。 Ένα κείμενο· μικρό; "
    "नमस्ते दुनिया। Привет, мир… и т.д.",
    "#tag ##tags ### ... … .... !!! ??? -- — 12 34 56 {braces} [1] [edit] [citation needed]\nThis uses cookies.\n"
    "Enable JavaScript to go on now.\nJava[2]Script after the cut is it.\nlorem [3] ipsum is not it.",
    "\n".join(f"{n}. Item number {n}" for n in range(40)),
    "Same line again and again.\n" * 9 + "One other line at the end.",
    (MILL + "\n\n") * 3,
    "Es war einmal ein Müller, der z. B. in EE. UU. lebte; l’été dernier aujourd'hui, и т.д. и др. Dr. med. Bob.",
)


def real_texts(every: int) -> list[str]:
    """One in `every` of the shared texts; skips the test where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared data is not here")
    texts = [t for name in SETS for t in pq.read_table(SHARED / name, columns=["text"]).column("text").to_pylist() if t]
    return texts[::every]


def theirs(block: Any, text: str) -> tuple[str | None, str]:
    """datatrove's verdict: (why the text is dropped or None, the text as it goes on)."""
    document = Document(text=text, id="")
    result = block.filter(document)
    kept, reason = result if isinstance(result, tuple) else (result, "no reason")
    return (None if kept else reason), document.text


def table(*texts: str | None, chunked: bool = False) -> pa.Table:
    """A table of texts; `chunked` puts each into a chunk of its own."""
    values = [[text] for text in texts] if chunked else [list(texts)]
    return pa.table({"text": pa.chunked_array(values, pa.large_string())})


def verdicts(stage: Any, *texts: str | None) -> list[tuple[str | None, str | None]]:
    """What a stage makes of texts: (drop_reason, text) of each."""
    rows = stage.open()(table(*texts)).to_pylist()
    return [(row["drop_reason"], row["text"]) for row in rows]


def defaults(cls: Any) -> dict[str, Any]:
    """The settings of a datatrove filter and their defaults."""
    import inspect

    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "exclusion_writer"}


def distinct(start: int, stop: int) -> list[str]:
    """Words of nine letters, no two alike: number `start` to `stop`."""
    letters = "bcdfghjklm"
    return ["q" + "".join(letters[int(digit)] for digit in f"{n:08d}") for n in range(start, stop)]
