"""Loops over Arrow's UTF-8 buffers, compiled by numba: no Python string a row, and without the GIL.

The machine code is kept on disk, so that it is made once per machine and not once per worker: in `NUMBA_CACHE_DIR`, by
default `$XDG_CACHE_HOME/headrace/numba`, never beside the code, which may be read-only or shared by machines. numba
writes its files by renaming them, so several workers may fill the folder at once. Import numba only through here: it
reads the variable when it is imported. Importing it takes 0.4 s, so stages do it in `open`.
"""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where machine code is kept: the first of the user's cache and the machine's temporary folder that is writable."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "numba"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
    except OSError:
        writable = False
    return cache if writable else Path(tempfile.gettempdir()) / f"headrace-numba-{os.getuid()}"


os.environ["NUMBA_CACHE_DIR"] = str(cache_folder())

import numba  # noqa: E402 - it reads the variable above when it is imported

numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # for a process that had imported it before

__all__ = ["cache_folder", "numba"]
