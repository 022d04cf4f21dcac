"""A model file by path or URL, proved by its SHA-256: what a stage's result depends on must be what it says it is.

A URL is downloaded once into `$XDG_CACHE_HOME/headrace` (default `~/.cache/headrace`). Only http(s) is fetched:
stages know no storage, so a file in a bucket is copied to a local path, or into the image, by whoever runs them.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

from schemas import credentials

TIMEOUT_SECONDS = 60.0
BLOCK = 1 << 20


class ModelFileError(ValueError):
    """A model file is not there, is not the one that was asked for, or cannot be fetched."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_url(model: str) -> bool:
    return "://" in model


def checksum(model: str, sha256: str | None, who: str) -> str:
    """The SHA-256 that `model` must have: the given one, or for a local file its own. `who` asks, for messages."""
    if (fault := credentials.fault(model)) is not None:
        raise ModelFileError(f"{who}: {fault}")
    if is_url(model):
        scheme = model.partition("://")[0]
        if scheme not in ("http", "https"):
            raise ModelFileError(f"{who}: cannot fetch {model!r}: give the path of a local copy, or an https URL")
        if not sha256:
            raise ModelFileError(f"{who}: {model!r} needs its checksum: set the SHA-256 that the file must have")
        return sha256.lower()
    path = Path(model).expanduser()
    if not path.is_file():
        raise ModelFileError(f"{who}: no model file at {model!r}")
    return verify(path, sha256.lower(), who) if sha256 else sha256_of(path)


def locate(model: str, sha256: str, who: str) -> Path:
    """The local file of `model`, fetched if need be and proved to have this SHA-256. Safe in several processes."""
    if not is_url(model):
        path = Path(model).expanduser()
        verify(path, sha256, who)
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{sha256[:16]}-{model.rstrip('/').rpartition('/')[2].partition('?')[0] or 'model'}"
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process fetches, the others find it done
        if not path.is_file() or sha256_of(path) != sha256:
            _fetch(model, path, sha256, who)
    return path


def verify(path: Path, sha256: str, who: str) -> str:
    """`sha256`, or `ModelFileError` when the file does not have it."""
    found = sha256_of(path)
    if found != sha256:
        raise ModelFileError(f"{who}: {path} has SHA-256 {found}, expected {sha256}")
    return sha256


def _fetch(url: str, path: Path, sha256: str, who: str) -> None:
    """Download beside `path` and rename, so that the file is there whole or not at all."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) only
                    shutil.copyfileobj(answer, file, BLOCK)
            except OSError as error:
                raise ModelFileError(f"{who}: cannot fetch {url!r}: {error}") from error
        found = sha256_of(Path(part))
        if found != sha256:
            raise ModelFileError(f"{who}: {url} has SHA-256 {found}, expected {sha256}")
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
