"""The refiner's tokenizer: byte-level BPE of a small vocabulary, made so that a program is a matter of a few tokens.

- Every number of one to three digits is one token, in `[012]` before a line and in `line_start=012` alike, so that the
  model copies it; what stands between numbers in a program is one token.
- A long line loses its middle: whether it is main text shows at its ends. A line of more than `LONG` characters is
  told from a shorter one by what stands for the middle. The input is half as long, and no text is ever made of it.
"""

import json
from collections.abc import Iterable
from typing import Any

HEAD, TAIL, LONG = 96, 32, 400  # characters
CUT, CUT_LONG = " \u2026 ", " \u2026\u2026 "
PAD, END = "<pad>", "</s>"
OPEN, LINE, CLOSE = "[doc]", "\n[", "\n[/doc]"
FIRST, NEXT, AFTER = "# ", "\n# ", ")\n# "
REMOVE, TO, KEEP = "\nremove_lines(line_start=", ", line_end=", "\nkeep_all()"
PIECES = (OPEN, LINE, CLOSE, FIRST, NEXT, AFTER, REMOVE, TO, KEEP)
WORDS = (
    r"^\d{1,4}\]| ?\p{Han}| ?\p{Hiragana}+| ?\p{Katakana}+|\d{1,3}| ?\p{Lu}?\p{Ll}+| ?\p{Lu}+|"
    r" ?[\p{L}\p{M}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"
)
DIGITS = "0123456789"
PAIRS = [a + b for a in DIGITS for b in DIGITS]
TRIPLES = [a + b for a in DIGITS for b in PAIRS]


def train_tokenizer(texts: Iterable[str], size: int) -> Any:
    """A `PreTrainedTokenizerFast` of `size` tokens, fitted to `texts` (lines without numbers)."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    learner = _around(Tokenizer(models.BPE()))
    room = size - len(PIECES) - 2 - len(PAIRS) - len(TRIPLES)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if room < len(alphabet):
        raise ValueError(
            f"refiner: a vocabulary of {size} has no room for letters; ask for {size - room + 256} or more"
        )
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet, show_progress=False)
    )
    learnt = json.loads(learner.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in learnt["merges"]]
    letters = [m for m in merges if not any(c in DIGITS for c in "".join(m))]
    words = [t for t in learnt["vocab"] if len(t) == 1] + ["".join(m) for m in letters]
    vocab = {t: i for i, t in enumerate(dict.fromkeys([*words, *PAIRS, *TRIPLES]))}
    tokenizer = _around(Tokenizer(models.BPE(vocab=vocab, merges=[*_number_merges(), *letters])))
    tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in PIECES])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in (PAD, END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _number_merges() -> list[tuple[str, str]]:
    """Two digits, then three, whichever two of them come together first."""
    return [(p[0], p[1]) for p in PAIRS] + [pair for t in TRIPLES for pair in ((t[:2], t[2]), (t[0], t[1:]))]


def _around(tokenizer: Any) -> Any:
    """`tokenizer` with all that stands before and behind its BPE."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers  # noqa: PLC0415

    def cut(before: int, least: int, mark: str) -> Any:
        return normalizers.Replace(Regex(rf"(?<=[^\n]{{{before}}})[^\n]{{{least},}}(?=[^\n]{{{TAIL}}})"), mark)

    tokenizer.normalizer = normalizers.Sequence([cut(HEAD, LONG - HEAD - TAIL, CUT_LONG), cut(HEAD, 8, CUT)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.Split(Regex(r"\d{1,3}|\]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
