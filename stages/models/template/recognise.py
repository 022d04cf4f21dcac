"""Which of our prompts a request is, and what is filled into its places: the prompt files, read backwards."""

import re
from functools import cache

from stages.models.engine import Prompt
from stages.prompts import FIELD, FOLDER, PromptFile, load_prompt

BETWEEN = "\x00"  # system and user


def recognised(prompt: Prompt) -> tuple[PromptFile, dict[str, str]] | None:
    """The prompt file that a chat was made from, with its values; None where it is none of ours."""
    said = dict(prompt.chat or ())
    whole = f"{said.get('system', '')}{BETWEEN}{said.get('user', '')}"
    for file, pattern in _patterns():
        if (match := pattern.fullmatch(whole)) is not None:
            return file, match.groupdict()
    return None


@cache
def _patterns() -> tuple[tuple[PromptFile, "re.Pattern[str]"], ...]:
    files = [load_prompt(path.stem) for path in sorted(FOLDER.glob("*.yaml"))]
    return tuple((file, re.compile(_pattern(f"{file.system or ''}{BETWEEN}{file.user}"), re.DOTALL)) for file in files)


def _pattern(template: str) -> str:
    """`template` with a group for each place; a place that comes again has the same value."""
    parts = FIELD.split(template)
    seen: set[str] = set()
    found = []
    for at, part in enumerate(parts):
        if at % 2 == 0:
            found.append(re.escape(part))
        else:
            found.append(f"(?P={part})" if part in seen else f"(?P<{part}>.*{'' if at == len(parts) - 2 else '?'})")
            seen.add(part)
    return "".join(found)
