"""What is made: one recipe a file, read top to bottom like a paper's method section, and the command line.

web       Common Crawl to clean text: the FineWeb chain, exact dedup, PII masking
dedup     near duplicates of any dataset, by MinHash; dedup_exact, dedup_lines, dedup_substring: of other kinds
dedup_semantic  rows whose embeddings are alike, in clusters that `centroids` has fitted
decontaminate  rows that share n-grams with the items of benchmarks
recipes   the recipes by name, and recipes in YAML
plain_yaml  YAML without the truth values of YAML 1.1
config    settings from the command line and from a file, checked all at once
cli       the program: run, plan, status, report, explain, replay, recipes, stages, submit
funnel    the totals of a run as text
estimate  what a whole run would cost, from a few shards
order     a cheaper order of a step's stages, from what each cost and dropped
explain   where one row came from and what was decided on it
replay    dead rows once more
report/   the totals, the texts and the reasons as one self-contained page
"""
