"""What of a benchmark is looked for in training documents, and what counts as found.

items   test items from a file: which of their fields are their text
words   the words of a text, as each rule splits it
index   the items' n-grams, and which of them a document has
cut     a document without what it shares with an item
"""
