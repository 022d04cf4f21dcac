"""Long listings of S3 in a fifth of the time: botocore guesses the format of the time of every object."""

from datetime import datetime
from typing import Any


def with_quick_times(session: Any) -> Any:
    """`session`, an aiobotocore one: its clients read times as S3 writes them, and guess only at others."""
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return session


def moment(text: Any) -> datetime:
    """What botocore makes of a time in an answer: with its zone."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    except (TypeError, ValueError):
        pass
    from botocore.utils import parse_timestamp  # type: ignore[import-untyped]  # noqa: PLC0415 - a second of imports

    guessed: datetime = parse_timestamp(text)
    return guessed
