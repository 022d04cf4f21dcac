"""What can go wrong, and the exit status it ends with.

    HeadraceError
    +-- ConfigError     2  the command, the config, the schema or the place is wrong; nothing was started
    +-- RunError        1  the run failed
        +-- DeadRowsError    more rows died than --max-dead allows
        +-- AccountError     rows went in and came out nowhere, or a stage broke its contract
        +-- ShardError       a shard failed as often as it may
        +-- LeaseLostError   another run has taken the output over
        +-- StoreError       a disk or a store cannot be written or read, and waiting has not helped or cannot

The first line of a message says what happened and where; further lines are detail.
"""

from typing import Any


class HeadraceError(Exception):
    """Anything headrace says on purpose."""

    status = 1
    totals: dict[str, Any] | None = None  # of the run that it ended, as far as that came


class ConfigError(HeadraceError):
    """Nothing was started; every fault found is listed, one a line."""

    status = 2


class RunError(HeadraceError):
    """The run started and failed."""


class DeadRowsError(RunError):
    """More rows died than allowed; the message holds their histogram."""


class AccountError(RunError):
    """Rows do not add up, or a stage returned what its contract forbids."""


class ShardError(RunError):
    """A shard failed as often as it may."""


class StoreError(RunError):
    """A disk or a store failed; the message names what was asked of which file, and the way on."""


class LeaseLostError(RunError):
    """The run was taken for dead: another one writes to its output, and this one must not any more."""


def is_transient(error: BaseException) -> bool:
    """True for what may be gone on the next try: the network, a busy store. All else is permanent."""
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    if isinstance(error, permanent):
        return False
    library = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or library in ("botocore", "aiobotocore", "aiohttp", "urllib3")


def first_line(error: BaseException) -> str:
    """What an error says first; the rest may be a page of advice and addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
