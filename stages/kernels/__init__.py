"""Loops over Arrow's UTF-8 buffers, compiled by numba: no Python string a row, and without the GIL.

The machine code is kept on disk, so that it is made once per machine and not once per worker: in `NUMBA_CACHE_DIR`, by
default `$XDG_CACHE_HOME/headrace/numba`, never beside the code, which may be read-only or shared by machines. There a
folder belongs to one state of all kernels, since numba takes a function for unchanged when only another one that it
calls has changed. numba writes its files by renaming them, so several workers may fill the folder at once.

Importing numba takes 0.4 s, so stages import their kernels in `open`.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Where machine code of these kernels is kept, on a machine whose home folder cannot be written to as well."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen) / _sources()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "numba"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
    except OSError:
        writable = False
    return (cache if writable else _own(Path(tempfile.gettempdir()) / f"headrace-numba-{os.getuid()}")) / _sources()


def _own(folder: Path) -> Path:
    """`folder`, where anybody may write beside it, if it is ours alone; else another one, for this process.

    What numba keeps is pickled: whoever puts files there runs code as us.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="headrace-numba-"))


def _sources() -> str:
    """12 hex digits of the SHA-256 of every kernel's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


numba.config.CACHE_DIR = str(cache_folder())


def compiled(function: Function) -> Function:
    """`function` as machine code for the types it is first called with, kept on disk; it releases the GIL."""
    return cast(Function, numba.njit(nogil=True, cache=True)(function))
