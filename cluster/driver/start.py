"""Ray for a driver: a cluster that is there, or one on this machine."""

import os
from contextlib import suppress
from typing import Any

import psutil
import ray

from cluster.errors import ConfigError, RunError, first_line

STARTS, LATE = 3, "timed out during startup"


def start_ray(address: str | None) -> None:
    """Join the cluster at `address` (or RAY_ADDRESS), or start one on this machine for this process alone."""
    if ray.is_initialized():
        return
    if address or os.environ.get("RAY_ADDRESS"):
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise ConfigError(f"no Ray cluster at {address or os.environ['RAY_ADDRESS']}: {error}") from error
    else:
        # Ray runs workers at niceness 15, so that whatever else a machine does comes first: here they are the work.
        os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            start_local(logging_level="ERROR")
        except Exception as error:
            raise RunError(
                f"Ray has not started on this machine: {first_line(error)}\n  it waits 30 s for its own processes, "
                "which one under load may not grant; the same command goes on, or --runner local takes no Ray"
            ) from error


def start_local(**options: Any) -> None:
    """A Ray on this machine. Up to STARTS times: it gives its own processes 30 s, for which there is no setting."""
    before = set(psutil.Process().children(recursive=True))
    for left in reversed(range(STARTS)):
        try:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, **options)
        except Exception as error:
            if LATE not in str(error) or not left:
                raise
            for process in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            return
