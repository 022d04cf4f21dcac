"""Text as words and sentences.

words.py        `splitter(language)`: the words and sentences of a text, remembered chunk by chunk
spacy_rules.py  the words of a chunk by spaCy's rules for a language
affixes.py      the prefix or suffix of a chunk by spaCy's expressions
scripts.py      the words of a chunk in any script, for languages without such rules
punctuation.py  what counts as a symbol, and what ends a line
memo.py         a bounded memory of answers
simplify.py     a text as datatrove compares it for near duplicates
buffers.py      the memory of a column of texts, for kernels
"""
