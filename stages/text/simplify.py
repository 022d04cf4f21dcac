"""A text as datatrove compares it for near duplicates (`datatrove.utils.text.simplify_text`, its defaults)."""

import re
import unicodedata

# datatrove.utils.text.PUNCTUATION; not all that its filters take for punctuation.
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" + (
    "\u00ab\u00b4\u00bb\u2013\u2014\u2019\u201c\u201d\u201e\u2026\u2236\u2501\u25ba\u3001\u3002\u3008\u3009\u300a"
    "\u300b\u300c\u300d\u3010\u3011\uff01\uff05\uff08\uff09\uff0c\uff0e\uff11\uff1a\uff1b\uff1f\uff5e"
)
CONTROLS = (*range(9), *range(11, 32), *range(127, 160))

_TO_SPACE = dict.fromkeys((*map(ord, MARKS), *CONTROLS), " ")
_NUMBER = re.compile("\\d+([.,\u060c\u066b\u2396\u2397\u2398]\\d+)?")


def simplify(text: str) -> str:
    """Lower case, each number as 0, punctuation and white space as single spaces, combining marks gone."""
    text = " ".join(_NUMBER.sub("0", text.lower()).translate(_TO_SPACE).split())
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").strip()
