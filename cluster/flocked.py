"""A lock that the kernel lets go of when its holder dies, on a file whose holder may delete it before that."""

import fcntl
import os
from pathlib import Path


def holds(file: int, path: Path, wait: bool = True) -> bool:
    """Lock what is open as `file`; whether it could be had and is still what `path` names, or else is nobody's lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return os.path.samestat(os.fstat(file), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
