"""The kernel against the same in plain Python, on arbitrary Unicode."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import minhash
from stages.kernels.fold import UNSPACED
from stages.minhash_signature import MinHashSignature
from stages.text.buffers import text_buffers

WORD = 1 << 64
STAGE = MinHashSignature(n_grams=3, num_buckets=2, hashes_per_bucket=2)
TRANSFORM = STAGE.open()

# Letters of every kind, so that runs of them are frequent; and whatever there is.
ODD = (
    "aZéİßſςΣ\u0301\u00ad\u200d019٣७.,\u066b-_ \n\t\x00你好カひไย한"
    "\u1112\u1161𝒜𐐀😀²Ⅷ\ufffd\U00020000\U000e0101\U0010ffff"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=60)


def is_single(point: int) -> bool:
    return 0x20000 <= point < 0x40000 or any(first <= point <= last for first, last in UNSPACED)


def kind(char: str) -> str:
    """letter, single, digit, drop, decimal or separator; and only the first three make words."""
    category, point = unicodedata.category(char), ord(char)
    if point >= 0x20000:
        return "single" if point < 0x40000 else "drop" if 0xE0000 <= point < 0xE0200 else "separator"
    if category == "Nd":
        return "digit"
    if category in ("Mn", "Me", "Cf"):
        return "drop"
    if category[0] in "LNM":
        return "single" if is_single(point) else "letter"
    return "decimal" if char in ".,،٫⎖⎗⎘" else "separator"


def folded(char: str) -> int:
    if ord(char) >= 0x20000:
        return ord(char)
    base = [c for c in unicodedata.normalize("NFD", char.lower().replace("ς", "σ")) if unicodedata.category(c) != "Mn"]
    return ord(base[0]) if len(base) == 1 else ord(char)


def words(text: str) -> list[list[int]]:
    """The text's words as folded code points."""
    found: list[list[int]] = [[]]
    kinds = "".join(
        {"letter": "w", "single": "s", "digit": "d", "drop": "-", "decimal": "."}.get(kind(c), " ") for c in text
    )
    for match in re.finditer(r"d+(\.d+)?|.", kinds):
        char = text[match.start()]
        match match[0][0]:
            case "d":
                found[-1].append(ord("0"))
            case "w":
                found[-1].append(folded(char))
            case "s":
                found += [[folded(char) | 1 << 31], []]
            case "." | " ":
                found.append([])
    return [word for word in found if word]


def mix(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor % WORD
    return value ^ value >> 33


def hash_word(points: list[int]) -> int:
    value = 0x9E3779B97F4A7C15
    for point in points:
        value = (value ^ point) * 0x9FB21C651E98DF25 % WORD
    return mix(value)


def hash_shingle(hashes: list[int]) -> int:
    value = 0
    for item in hashes:
        value = (value * 0xD6E8FEB86659FD93 + item) % WORD
    return mix(value)


def reference(text: str) -> list[int] | None:
    hashes, n = [hash_word(word) for word in words(text)], STAGE.n_grams
    shingles = [hash_shingle(hashes[i : i + n]) for i in range(len(hashes) - n + 1)]
    pairs = [(int(a), int(b)) for a, b in zip(*STAGE.parameters(), strict=True)]
    return [min((x * a + b) % WORD % ((1 << 61) - 1) for x in shingles) for a, b in pairs] if shingles else None


def sign(*texts: str) -> list[list[int] | None]:
    return TRANSFORM(pa.table({"text": pa.array(texts, pa.large_string())})).column("signature").to_pylist()


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=4))
def test_is_its_reference(texts):
    assert sign(*texts) == [reference(text) for text in texts]


@pytest.mark.parametrize("n_words", [1019, 1020, 1021, 1022, 1023, 1024, 1025, 1026, 2047, 2048, 3001])
def test_is_its_reference_over_several_blocks(n_words):
    text = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(n_words))
    assert sign(text) == [reference(text)]
    ideographs = "".join(chr(0x4E00 + i) for i in range(n_words))
    assert sign(ideographs) == [reference(ideographs)]


def test_every_remainder_of_permute():
    a, b = (np.array(x, np.uint64) for x in ([3, (1 << 61) - 2], [(1 << 61) - 2, 5]))
    edges = [0, 1, (1 << 61) - 1, 1 << 61, (1 << 64) - 1, 0x5555555555555555, 1 << 63]
    for n in range(1, len(edges) + 1):
        minima = np.full(2, (1 << 64) - 1, np.uint64)
        minhash.permute(np.array(edges, np.uint64), n, a, b, minima)
        expected = [
            min((x * int(p) + int(q)) % WORD % ((1 << 61) - 1) for x in edges[:n]) for p, q in zip(a, b, strict=True)
        ]
        assert minima.tolist() == expected


@pytest.mark.parametrize("broken", [b"a b c \xe2\x82", b"a b c \xff\xfe\xf8", b"\x80a b c", b"a\xc3 b c", b"\xf0"])
def test_broken_utf8_is_read_within_its_bounds(broken):
    array = pa.array([broken, b"d e f"], pa.large_binary())
    texts = pa.Array.from_buffers(pa.large_string(), 2, array.buffers())
    data, offsets = text_buffers(texts)
    assert bytes(data[offsets[0] : offsets[1]]) == broken
    assert TRANSFORM(pa.table({"text": texts})).column("signature")[1].as_py() == reference("d e f")
