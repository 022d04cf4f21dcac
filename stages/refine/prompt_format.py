"""The prompts of ProX's models, as strings: the released models bring no chat template (methods 1.1, 1.2, 1.4).

The originals wrap with Llama-2's template, and the engine adds a second BOS to the string of a chunk but none to the
tokens of a document. An independent test found no wrapper at all (`plain`) to work best for the released web chunk
model on real pages: `headrace probe` tries all four on pages of yours.
"""

from collections.abc import Callable
from typing import Literal, get_args

PromptFormat = Literal["llama2_sys", "llama2_nosys", "plain", "chatml"]
FORMATS: tuple[PromptFormat, ...] = get_args(PromptFormat)
SYSTEM = "You are a helpful, respectful and honest assistant."  # a constant of the released models
BOS = "<s>"
CLOSING = " [/INST]"
LONGEST = 64  # code points that a token stands for at most, on average over a whole prompt


def wrap(user: str, prompt_format: PromptFormat) -> str:
    """The whole prompt around what the user says. Llama-2's template strips what is between its tags."""
    if prompt_format == "plain":
        return user
    if prompt_format == "chatml":
        turns = "".join(
            f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in (("system", SYSTEM), ("user", user))
        )
        return f"{turns}<|im_start|>assistant\n"
    said = user if prompt_format == "llama2_nosys" else f"<<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{user}"
    return f"{BOS}[INST] {said.strip()}{CLOSING}"


def chunk_prompt(chunk: str, prompt_format: PromptFormat) -> str:
    """The prompt for a chunk of numbered lines."""
    return wrap(f"[doc]\n{chunk}\n[/doc]", prompt_format)


def document_prompt(
    text: str, prompt_format: PromptFormat, tokenize: Callable[[str, bool], list[int]], prompt_tokens: int, whole: bool
) -> tuple[int, ...]:
    """The tokens of the prompt for a whole document, at most `prompt_tokens`; the end of a long one is not seen.

    `tokenize(text, special)` puts the model's BOS in front if `special`; Llama-2's template has one of its own.
    The original cuts the prompt, so that a long document loses the closing tag (`whole` False). With `whole` its text
    is cut instead, and the prompt is always complete.
    """
    special = not prompt_format.startswith("llama2")
    kept = text[: prompt_tokens * LONGEST]
    if not whole:
        return tuple(tokenize(wrap(kept, prompt_format), special)[:prompt_tokens])
    while len(tokens := tokenize(wrap(kept, prompt_format), special)) > prompt_tokens and kept:
        # Code points in proportion to tokens, and one fewer so that it ends.
        kept = kept[: min(int(len(kept) * prompt_tokens / len(tokens)), len(kept) - 1)]
    return tuple(tokens)
