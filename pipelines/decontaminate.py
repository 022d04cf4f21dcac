"""Recipe `decontaminate`: any Parquet dataset with a column `text`, without what is in the tests of benchmarks.

    headrace run decontaminate --input DATA --output OUT --set Decontaminate.benchmarks=ITEMS.parquet
    headrace report OUT

`--set Decontaminate.rule=tulu3` and `action=mark` or `cut` choose what counts and what is done. The report has a
section on every benchmark, and OUT/contamination.json the same for programs.
"""

from cluster.recipe import Recipe, Step
from stages.decontaminate import Decontaminate
from stages.read_parquet import ReadParquet


def decontaminate() -> Recipe:
    """Documents in; those that share no n-gram with a test item out. The items' file is a setting without a default."""
    return Recipe(
        name="decontaminate",
        about="documents without test items of benchmarks, by GPT-3's rule (arXiv 2005.14165, C)",
        steps=(Step(name="decontaminate", source=ReadParquet(), stages=(Decontaminate(),)),),
    )
