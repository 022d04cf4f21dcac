"""The log of a run: its stderr, in lines for a person or, `--log-format json`, in objects for whoever collects them.

Every object has time, level, run, recipe, step, shard, event and message; null is what does not apply. Some events
have more, such as rows. What a person is told is in both forms; `detail` is in objects alone.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FORMATS = ("text", "json")


@dataclass(frozen=True)
class Log:
    """How lines are written, and of which run they are. Small and picklable: workers have it too."""

    form: str = "text"
    run: str = ""  # whose lease is on the output
    recipe: str = ""

    def tell(
        self,
        message: str,
        *,
        event: str = "note",
        level: str = "info",
        step: str | None = None,
        shard: str | None = None,
        **more: Any,
    ) -> None:
        """A line for a person, or the same as an object with `more`."""
        if self.form == "text":
            _write(message)
            return
        what = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "run": self.run or None,
            "recipe": self.recipe or None,
            "step": step,
            "shard": shard,
            "event": event,
            "message": message,
        }
        _write(json.dumps(what | more, default=str))  # ASCII: nothing in it can steer a terminal

    def detail(self, message: str, **what: Any) -> None:
        """What a person is not told: an object as `tell` writes it, or nothing."""
        if self.form != "text":
            self.tell(message, **what)


TEXT = Log()


class Others(logging.Handler):
    """What libraries log, as objects."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self.log = log
        self.step: str | None = None  # a worker knows it

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a library's mistake in its own line
            message = str(record.msg)
        level = record.levelname.lower()
        self.log.tell(message, event="library", level=level, step=self.step, logger=record.name)


def adopt(log: Log, step: str) -> None:
    """In a worker: from now on what libraries log is part of `log`, if that is in objects."""
    if log.form == "text":
        return
    root = logging.getLogger()
    others = next((one for one in root.handlers if isinstance(one, Others)), None)
    if others is None:
        root.addHandler(others := Others(log))
    others.log, others.step = log, step


@contextmanager
def captured(log: Log) -> Iterator[None]:
    """Meanwhile what libraries log and warn of is part of a log in objects; a text's reader sees it as ever."""
    if log.form == "text":
        yield
        return
    others, root = Others(log), logging.getLogger()
    root.addHandler(others)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(others)


def _write(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the log of a run is its stderr
