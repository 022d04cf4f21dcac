"""Programs in `edits`, run again without the model: a document's earlier text becomes the later one."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.refine.execute import rerun
from stages.refine.program import parse_program

STAGE = "ProxChunks"


def replay(text: str, edits: Sequence[Mapping[str, Any]]) -> str:
    """`text`, as it was before ProxChunks, after every program of it that a row's `edits` tell of.

    `ValueError` where the text is not the one that was edited, or another stage changed it in between.
    """
    programs = [number for number, edit in enumerate(edits) if edit["stage"] == STAGE]
    for number in range(programs[0], programs[-1] + 1) if programs else ():
        edit = edits[number]
        if edit["stage"] != STAGE:
            raise ValueError(f"edit {number} is {edit['stage']}'s, between two of {STAGE}: it is no program")
        if len(text) != edit["n_chars_before"]:
            raise ValueError(f"edit {number} was made to {edit['n_chars_before']:,} characters, here are {len(text):,}")
        program = parse_program(edit["rule"])
        text = rerun(text, program.ops)
        if program.errors or len(text) != edit["n_chars_after"]:
            raise ValueError(
                f"edit {number} left {edit['n_chars_after']:,} characters, now {len(text):,}: not its text"
            )
    return text
