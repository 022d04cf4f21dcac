"""Text from outside as a terminal or a page may show it: characters that would steer them are spelled out.

An escape sequence in a crawled address could retitle a terminal, rewrite lines above it or fill the clipboard; a
bidirectional override shows an address back to front. Line breaks and tabs stay; marks of direction that right-to-left
text is written with (U+200E, U+200F) do too.
"""

import re

# C0 but for \t and \n, DEL, C1; embeddings, overrides and isolates; halves of surrogate pairs, which are no text.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
BREAKS = re.compile("[\n\x85\u2028\u2029]")


def visible(text: str) -> str:
    """`text` with each such character as the escape that Python writes for it."""
    return STEERING.sub(_escape, text)


def one_line(text: str) -> str:
    """The same for a text that must not begin a line of its own."""
    return BREAKS.sub(_escape, visible(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\\n" if code == 10 else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
