"""Patterns with possessive quantifiers, which keep a hostile page linear.

Python 3.11.2's `re` matches them wrongly (3.11.7's is right); there the package `regex` compiles them, at 1.3 times the
engine's time.
"""

import re
import sys
from typing import cast

RIGHT_SINCE = (3, 11, 7)


def possessive(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """`pattern`, compiled by a library that has it right."""
    if sys.version_info[:3] >= RIGHT_SINCE:
        return re.compile(pattern, flags)
    import regex  # noqa: PLC0415 - only where it is needed

    return cast(re.Pattern[str], regex.compile(pattern, flags))
