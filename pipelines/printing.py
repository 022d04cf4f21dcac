"""What the commands print: text from outside cannot steer the terminal, keys and passwords are not repeated."""

import argparse
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from cluster.errors import RunError
from cluster.signals.log import Log
from schemas.credentials import redacted
from schemas.visible import visible

LINE_CHARS = 2000  # of an error: what was given may be a book
ROOT = Path(__file__).resolve().parents[1]


def say(text: str) -> None:
    """The answer of a command, on stdout."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(visible(text).encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(f"stdout cannot be written: {error.strerror}; what the command did is done") from error


def complain(error: Exception, status: int, log: Log) -> int:
    """An error: one line on stderr, then detail. Returns `status`."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    if status == 2 and rest and not rest[0].startswith(" "):  # several faults: say so in the first line
        first, rest = f"{len(rest) + 1} faults, nothing was started", [f"  {line}" for line in [first, *rest]]
    what = visible(redacted("\n".join(map(_cut, [f"headrace: {first}", *rest]))))
    log.tell(what, event="error", level="error", status=status)
    return status


def _cut(line: str) -> str:
    return (
        line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]} ... and {len(line) - LINE_CHARS:,} characters more"
    )


def unforeseen(error: Exception) -> RunError:
    """What nobody met on the way, as an error of ours: what it was, what was being done, and where in our code."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if Path(f.filename).is_relative_to(ROOT) and "site-packages" not in f.filename
    ]
    places = [f"{Path(f.filename).relative_to(ROOT)}:{f.lineno}" for f in frames]
    what = str(error).strip().splitlines() or ["no message"]
    lines = [f"{type(error).__name__}: {what[0]}", *(f"  {line}" for line in what[1:20])]
    lines += [f"  {note}" for note in getattr(error, "__notes__", ())]
    return RunError(
        "\n".join([*lines, f"  at {' < '.join(reversed(places[-12:]))}" if places else "  at an unknown place"])
    )


class Arguments(argparse.ArgumentParser):
    """The parser of the command line, which repeats what it does not know."""

    def error(self, message: str) -> NoReturn:
        """As argparse does, but for keys and control characters."""
        super().error(visible(redacted(message)))
