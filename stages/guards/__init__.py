"""Guards: why a rewrite of a text is not taken. A pure function of the two texts; whoever asks falls back and says why.

check        how long it is, that it is not empty or cut off; all settings, and the verdict
prefix       that it begins as was asked
numbers      numbers that the source does not have
addresses    URLs and e-mail addresses that the source does not have
language     another language than the source's
repetition   repetition that the source does not have
refusals     "I cannot help with that", in many languages
leaks        markup of a chat, lines of the prompt

    Guards().check(source, text) -> "guard_novel_number" or None

The papers that rewrite (WRAP, Nemotron-CC, FinePhrase, ProX) have of these the prefix, the length in tokens and rules
against opening remarks; where no source is named, a rule and its default are ours.
"""

from stages.guards.check import REASONS, Guards, guards_of

__all__ = ["REASONS", "Guards", "guards_of"]
