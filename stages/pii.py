"""E-mail and IP addresses of people, replaced by ones that belong to nobody."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.stage import Resources, Rows, Transform, set_columns

# The values of FineWeb (methods 4.10). Both domains are kept for examples; the IPs answered nobody when it was made.
EMAILS = ("email@example.com", "firstname.lastname@example.org")
IPS = ("22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168")

# The grammar of datatrove's PIIFormatter: local part (atoms joined by dots) @ domain name or [literal].
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
LITERAL = rf"\[(?:{OCTET}\.){{3}}(?:{OCTET}|[A-Za-z0-9-]*[A-Za-z0-9]:)\]"
DOMAIN = re.compile(rf"(?:{LABEL}\.)+{LABEL}|{LITERAL}")
LOCAL_START = re.compile(rf"\b{ATOM}")
LOCAL_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+/=?^_`{|}~-.")
IPV4 = re.compile(rf"(?:{OCTET}\.){{3}}{OCTET}")
MAYBE_IPV4 = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"  # for Arrow, to pass over nearly every document


@dataclass(frozen=True)
class Pii:
    """Mask e-mail addresses and public IPv4 addresses (FineWeb's last step: methods 4.10).

    `emails`: every address. `ips`: those that `ipaddress` calls global. datatrove takes its replacements in turn,
    across documents; here the document's id and the place in its text choose, so that the result depends on no order.
    Every change is recorded in `edits`, under the rule `email` or `ip`.
    """

    emails: bool = True
    ips: bool = True

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return self._mask

    def _mask(self, table: pa.Table) -> pa.Table:
        text = table.column(c.BODY.name).combine_chunks()
        suspect = self._suspects(text)
        edits: list[list[Edit]] = [[] for _ in range(table.num_rows)]
        masked = []
        ids, texts = (column.filter(suspect).to_pylist() for column in (table.column(c.ID.name), text))
        for row, id_, before in zip(pc.indices_nonzero(suspect).to_pylist(), ids, texts, strict=True):
            after, edits[row] = mask(before, id_, self.emails, self.ips)
            masked.append(after)
        if any(edits):
            text = pc.replace_with_mask(text, suspect, pa.array(masked, c.TEXT))
        table = set_columns(table, text=text, n_chars=pc.utf8_length(text).cast(pa.int64()))
        return append_edits(table, type(self).__name__, edits)

    def _suspects(self, text: pa.Array) -> pa.Array:
        """Whether each row may hold something, found without making a Python string of each text."""
        found = pa.array([False] * len(text), pa.bool_())
        if self.emails:
            found = pc.or_(found, pc.match_substring(text, "@"))
        if self.ips:
            found = pc.or_(found, pc.match_substring_regex(text, MAYBE_IPV4))
        return pc.fill_null(found, False)


def mask(text: str, id_: str, emails: bool = True, ips: bool = True) -> tuple[str, list[Edit]]:
    """The text with addresses replaced, and the edits that changed it. E-mails go first, as in datatrove."""
    edits = []
    for rule, wanted, find, replacements in (("email", emails, find_emails, EMAILS), ("ip", ips, find_ips, IPS)):
        if not wanted:
            continue
        parts, position = [], 0
        for start, end in find(text):
            key = f"{id_}\n{rule}\n{start}".encode()
            parts += [text[position:start], replacements[xxhash.xxh3_64_intdigest(key) % len(replacements)]]
            position = end
        after = "".join([*parts, text[position:]])
        if after != text:
            edits.append(Edit(rule, len(text), len(after)))
            text = after
    return text, edits


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    r"""Where e-mail addresses stand, from left to right: (start, end).

    The same places as a search for `\bATOM+(\.ATOM+)*@DOMAIN`, but from the `@` outwards: that search starts anew at
    every word of a long address without `@`, which takes minutes on a megabyte of base64.
    """
    floor, at = 0, text.find("@")
    while at >= 0:
        domain = DOMAIN.match(text, at + 1)
        start = _local_start(text, floor, at) if domain else None
        if domain and start is not None:
            floor = domain.end()
            yield start, floor
        at = text.find("@", max(at + 1, floor))


def _local_start(text: str, floor: int, at: int) -> int | None:
    """Where the longest local part that ends at `at` begins; not before `floor`. It begins at a word boundary."""
    if at == floor or text[at - 1] == ".":
        return None
    start = at
    while start > floor and text[start - 1] in LOCAL_CHARS:
        start -= 1
    dots = text.rfind("..", start, at)
    if dots >= 0:
        start = dots + 2
    if text[start] == ".":
        start += 1
    found = LOCAL_START.search(text, start, at)
    return found.start() if found else None


def find_ips(text: str) -> Iterator[tuple[int, int]]:
    """Where public IPv4 addresses stand, from left to right: (start, end)."""
    for match in IPV4.finditer(text):
        if _is_public(match.group()):
            yield match.span()


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:  # such as a leading zero: four numbers, but no address
        return False
