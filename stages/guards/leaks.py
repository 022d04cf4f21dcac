"""What belongs to the talk with the model, not to its answer: markup of chat templates, roles, lines of the prompt."""

import re
from functools import lru_cache

# Of ChatML and Qwen, Llama 2 and 3, Gemma, Mistral, Phi, Command R, Alpaca, Vicuna, and of models that think aloud.
MARKUP = re.compile(
    r"<\|[a-z_]{2,40}\|>|<\uff5c[^>]{2,40}\uff5c>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|</?s>|</?think(?:ing)?>|"
    r"\[(?:TOOL_CALLS|AVAILABLE_TOOLS)\]|^#{2,4} ?(?:Instruction|Input|Response|Human|Assistant|System):?[ \t]*$|"
    r"^(?:USER|ASSISTANT|SYSTEM|Human|Assistant|System|User):",
    re.MULTILINE,
)
WORDS = 8  # of a line of the prompt that make it known again


def leak(source: str, text: str, prompt: str = "") -> str | None:
    """What of the markup, or of the lines of `prompt`, is in `text` but not in `source`."""
    for match in MARKUP.finditer(text):
        if match[0] not in source:
            return match[0]
    for words in _known(prompt) if prompt else ():
        if words in text and words not in source:
            return words
    return None


@lru_cache(maxsize=64)
def _known(prompt: str) -> tuple[str, ...]:
    """The first and the last `WORDS` words of each line of the prompt that has as many."""
    lines = [line.split() for line in prompt.split("\n") if "{{" not in line and len(line.split()) >= WORDS]
    found = [" ".join(words) for line in lines for words in (line[:WORDS], line[-WORDS:])]
    return tuple(dict.fromkeys(found))
