"""URLs and e-mail addresses of a rewrite that its source does not have.

An address without a scheme counts where it ends in one of the common top-level domains that are no words. Scheme,
`www.`, upper case and what closes the sentence are no part of it.
"""

import re

DOMAINS = "com|org|net|edu|gov|mil|int|info|biz|io|dev|app|eu|de|uk|fr|ru|cn|jp|br|nl|pl|ch|cz|se|es|ca|au|kr|tv"
ADDRESS = re.compile(
    rf"(?:https?://|www\.)[^\s<>\"]+"
    rf"|(?<![\w.@-])(?:[\w.+-]{{1,64}}@)?(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,6}}(?:{DOMAINS})\b(?:/[^\s<>\"]*)?",
    re.IGNORECASE,
)
MAYBE = re.compile(rf"://|www\.|\.(?:{DOMAINS})\b", re.IGNORECASE)  # to pass over nearly every text
START = re.compile(r"^(?:https?://)?(?:www\.)?", re.IGNORECASE)
CLOSING = ".,;:!?)]}'\"*_`\u2019\u201d\u00bb\u3002\uff0c\uff09/"


def novel_addresses(source: str, text: str) -> list[str]:
    """The addresses in `text` that do not stand in `source`."""
    if not MAYBE.search(text):
        return []
    found = [START.sub("", match[0].partition("](")[0]).rstrip(CLOSING) for match in ADDRESS.finditer(text)]
    if not found:
        return []
    lower = source.lower()
    return [address for address in found if address and address.lower() not in lower]
