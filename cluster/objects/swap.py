"""A change on a condition: what stands in a place is replaced only if it is what one has last seen there."""

from dataclasses import dataclass
from typing import Protocol


class NotSupportedError(Exception):
    """The store cannot put a file on a condition; the message says how that is known."""


@dataclass(frozen=True)
class Seen:
    """The file as it was read. `tag` says which one of those that stood there it is."""

    data: bytes
    tag: str


class Slot(Protocol):
    """The place of the file."""

    @property
    def condition(self) -> str | None:
        """What a store calls the condition of a first put; None where the place itself sees to it."""
        ...

    def read(self) -> Seen | None:
        """What is there."""
        ...

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        """Put `data` in the place of what was `seen`; None, and nothing done, if that is not what is there."""
        ...

    def leave(self, seen: Seen) -> None:
        """Take away what was `seen`, if it is still there."""
        ...
