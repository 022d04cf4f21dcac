"""Whether the Ray cluster is still there: without its own raylet, or the GCS, a driver would wait for ever.

A thread asks the GCS every few seconds for this driver's node. Where that is dead, or no answer comes, the run ends
with a `RunError`, and the same command goes on. Ray itself ends a process that has not reached its GCS for 60 s,
without a word of ours: so ours is the shorter time. A GCS that comes back within it (a head that is
restarted, with its state kept) costs nothing.
"""

import os
import sys
import threading
import time
from contextlib import suppress

import ray

from cluster.errors import RunError

LOOK_S = 5.0
SILENT_S = 40.0  # of the GCS: shorter than gcs_rpc_server_reconnect_timeout_s, at which Ray ends the process
GRACE_S = 10.0  # to the driver for what it does last; it may itself be waiting for an answer of the GCS
GOES_ON = "  the same command goes on where this run stopped"


class Watch:
    """Looks after the cluster of this process until it is closed."""

    def __init__(self) -> None:
        self._node = ray.get_runtime_context().get_node_id()
        self._heard = time.monotonic()
        self._dead = False
        self._closed, self._asking = threading.Event(), threading.Lock()
        for work in (self._ask, self._end):
            threading.Thread(target=work, name="alive", daemon=True).start()

    @property
    def lost(self) -> str | None:
        """What is gone, if something is."""
        if self._dead:
            return f"the Ray cluster is gone: this driver's node {self._node[:12]} is dead (its raylet was lost)"
        if (silent := time.monotonic() - self._heard) > SILENT_S:
            return f"the Ray cluster is gone: its GCS has not answered for {silent:.0f} s"
        return None

    def check(self) -> None:
        """Raise `RunError` if the cluster is gone."""
        if (lost := self.lost) is not None:
            raise RunError(f"{lost}\n{GOES_ON}")

    @property
    def answers(self) -> bool:
        """Whether the GCS does: otherwise many a call of Ray's does not come back."""
        return time.monotonic() - self._heard <= SILENT_S

    def close(self) -> None:
        """No more looks: one behind `ray.shutdown` would start another Ray."""
        self._closed.set()
        if self.answers:
            with self._asking:
                return

    def _ask(self) -> None:
        while not self._closed.wait(LOOK_S):
            with self._asking, suppress(Exception):  # an error is no answer
                if self._closed.is_set():
                    return
                alive = [node["Alive"] for node in ray.nodes() if node["NodeID"] == self._node]
                self._dead = alive == [False]
                self._heard = time.monotonic()

    def _end(self) -> None:
        """End this process where the driver cannot: a call of it waits for a cluster that is not there."""
        while not self._closed.wait(LOOK_S):
            if (lost := self.lost) is not None and not self._closed.wait(GRACE_S):
                print(f"headrace: {lost}\n{GOES_ON}", file=sys.stderr, flush=True)  # noqa: T201 - the driver cannot
                os._exit(1)


_watch: Watch | None = None


def begin() -> None:
    """Look after the cluster that this process has joined."""
    global _watch  # noqa: PLW0603 - of a process, as its connection to Ray is
    _watch = Watch()


def check() -> None:
    """Raise `RunError` if the cluster is gone. Asked by every loop that waits for workers."""
    if _watch is not None:
        _watch.check()


def answers() -> bool:
    """Whether the GCS does: otherwise many a call of Ray's does not come back."""
    return _watch is None or _watch.answers


def end() -> None:
    """No more looks."""
    global _watch  # noqa: PLW0603 - as above
    if _watch is not None:
        _watch.close()
    _watch = None
