"""One run at a time on an output: the lease that a driver takes before it writes anything.

    OUTPUT/.lease.json    who holds it: host, process, since when; a number that changes every RENEW_S seconds

Nobody's clock is compared with another's: who finds the lease taken watches it, and takes it over once it has not
changed for as long as it says that it lasts. On the holder's own host its process is looked for, so that a killed run
goes on at once. A holder that was taken for dead finds that out before the next file of it would appear.
"""

import contextlib
import functools
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from cluster.errors import ConfigError, LeaseLostError
from cluster.objects.conditional import slot
from cluster.objects.swap import NotSupportedError, Seen, Slot
from cluster.storage import Folder

NAME = ".lease.json"
RENEW_S = 5.0
LASTS_S = 30.0  # without a change; long enough for a store that has trouble, short enough to wait for
LOOK_S = 1.0
WAY_OUT = "  wait for it or stop it, or give another --output"


@dataclass(frozen=True)
class Process:
    """A process, such that no other one is taken for it: not of another host, nor a later one of the same number."""

    host: str
    place: str  # boot and process namespace: a process number says something only within these
    pid: int
    started: float

    def alive(self) -> bool | None:
        """None where it cannot be known: the process is of another place."""
        if (self.host, self.place) != _place():
            return None
        return not _buried(self.pid) and _started(self.pid) in (self.started, None)


def this_process() -> Process:
    return Process(*_place(), os.getpid(), _started(os.getpid()) or 0.0)


@dataclass
class Held:
    """A lease in our hands. A thread renews it until the end, or until it is lost."""

    slot: Slot
    record: dict[str, Any]
    seen: Seen

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @property
    def holder(self) -> str:
        return str(self.record["holder"])

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(Exception):  # then it ends by itself
            self.slot.leave(self._ours() or self.seen)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            self.record["beat"] += 1
            try:
                seen = self.slot.swap(self.seen, _bytes(self.record)) or self._ours()
            except Exception:  # noqa: S112 - a store that has trouble has had it before the lease ends, or the next
                continue  # file that is to appear finds that it has ended
            if seen is None:
                return
            self.seen = seen

    def _ours(self) -> Seen | None:
        """What stands there, if it is ours: a beat may be stored and its answer be lost."""
        seen = self.slot.read()
        there = _record(seen)
        return seen if there is not None and there["holder"] == self.holder else None


@contextlib.contextmanager
def held(folder: Folder, tell: Callable[[str], None] | None = None) -> Iterator[str]:
    """The output in `folder` is this run's; gives the name that its workers show. `ConfigError` if another run has it.

    Where a store knows no conditional put, two runs cannot be kept apart: that is told, and the name is empty.
    """
    tell = tell or _to_stderr
    try:
        lease = take(folder, tell)
    except NotSupportedError as error:
        tell(f"output {folder.url}: two runs at once are not kept apart here: {error}")
        yield ""
        return
    try:
        yield lease.holder
    finally:
        lease.release()


def take(folder: Folder, tell: Callable[[str], None]) -> Held:
    """The lease on `folder`, at once or once its holder is known to be dead. `ConfigError` if it is alive."""
    place = slot(folder, NAME)
    me = this_process()
    record = {
        "version": 1, "holder": uuid.uuid4().hex, **vars(me), "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "lasts_s": LASTS_S, "beat": 0,
    }  # fmt: skip
    watched: Seen | None = None
    since = time.monotonic()
    while True:
        seen = place.read()
        there = _record(seen)
        dead = there is None or _process(there).alive() is False
        if not dead and there is not None:
            if _process(there).alive() or watched not in (None, seen):
                raise ConfigError(f"output {folder.url}: another run is writing to it: {who(there)}\n{WAY_OUT}")
            if watched is None:
                watched, since = seen, time.monotonic()
                tell(f"output {folder.url}: held by {who(there)}; looking for up to {_lasts(there):g} s if it is alive")
            dead = time.monotonic() - since >= _lasts(there)
        if dead and (mine := place.swap(seen, _bytes(record))) is not None:
            return Held(place, record, _tested(place, mine, folder, tell))
        if not dead:
            time.sleep(LOOK_S)


def confirm(output: str, holder: str) -> None:
    """Raise `LeaseLostError` unless `holder` has the lease on `output`. Asked by whoever is about to write there."""
    there = _record(slot(Folder(output), NAME).read())
    if there is None or there["holder"] != holder:
        now = f"{who(there)} has it" if there else "nobody has it"
        raise LeaseLostError(f"output {output}: this run has lost its lease on it, {now}; it stops, nothing is lost")


def guarded(url: str, output: str, holder: str) -> Folder:
    """The folder `url` of an output that `holder` has the lease on: once that is lost, nothing changes in it."""
    return Folder(url, functools.partial(confirm, output, holder) if holder else None)


def who(record: dict[str, Any]) -> str:
    """The holder, for a person."""
    return f"process {record['pid']} on {record['host']}, since {record['since']}"


def _tested(place: Slot, mine: Seen, folder: Folder, tell: Callable[[str], None]) -> Seen:
    """A store may take a condition and pay no heed to it: then a second first put is taken too."""
    if place.condition and (again := place.swap(None, mine.data + b"\n")) is not None:
        heedless = f"the store pays no heed to {place.condition}"
        tell(f"output {folder.url}: two runs at once are not kept apart here: {heedless}")
        return again
    return mine


def _record(seen: Seen | None) -> dict[str, Any] | None:
    """What the file says; None where there is none, or it was left."""
    if seen is None or not seen.data.strip():
        return None
    with contextlib.suppress(ValueError):
        found = json.loads(seen.data)
        if isinstance(found, dict):
            unknown = {"holder": "", "host": "unknown", "place": "", "pid": 0, "started": 0.0, "since": "unknown"}
            return {**unknown, **found}
    return _record(Seen(b"{}", ""))


def _process(record: dict[str, Any]) -> Process:
    return Process(record["host"], record["place"], record["pid"], record["started"])


def _lasts(record: dict[str, Any]) -> float:
    return float(record.get("lasts_s", LASTS_S))


def _bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _place() -> tuple[str, str]:
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return host, f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - not a path
    except OSError:
        return host, hex(uuid.getnode())


def _started(pid: int) -> float | None:
    """When a process began, by a clock that nobody sets; None where that cannot be read."""
    with contextlib.suppress(OSError):
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return None


def _buried(pid: int) -> bool:
    """True if the process is gone, or dead and only waited for."""
    if not psutil.pid_exists(pid):
        return True
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).status()) in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return False


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the log of a run is its stderr
