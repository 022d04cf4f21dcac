"""Input files to shards: the unit of work, of commit and of resume.

A shard's name depends only on its file's address and the part of it, never on its place in the list: the same file
gives the same shard in any run.
"""

import hashlib
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, cast

from cluster.errors import ConfigError
from cluster.objects.listing import objects
from cluster.storage import address, locate, open_input
from stages.stage import Piece, Source

FILES_AT_A_TIME = 64  # at most, that one thread sees to: to hand over one file costs more than most take
OPEN_AT_ONCE = 16  # files whose index is read at the same time while shards are planned


@dataclass(frozen=True)
class InputFile:
    """A file of the input: its full address, size in bytes, and what changes when its content does."""

    uri: str
    size: int
    etag: str


@dataclass(frozen=True)
class Shard:
    """A piece of an input file and the name of all that is made from it."""

    name: str
    piece: Piece
    file: InputFile
    place: tuple[int, int] = (0, 1)  # which of how many pieces of its file

    @property
    def bytes(self) -> int:
        """How much of the file it is, for progress and estimates: an even share, whatever unit the pieces count in."""
        number, pieces = self.place
        return self.file.size * (number + 1) // pieces - self.file.size * number // pieces


class LazyFile:
    """A file that is opened when it is first used: most sources plan a shard by its size alone."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._file: BinaryIO | None = None

    def __getattr__(self, name: str) -> Any:
        if self._file is None:
            self._file = open_input(self._uri)
        return getattr(self._file, name)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def list_inputs(urls: list[str]) -> tuple[InputFile, ...]:
    """The files behind `urls`: files, folders (all files below, hidden ones left out) and globs, in order.

    Raises `ConfigError` that lists every URL that is not there, cannot be read or is given twice.
    """
    faults, files = [], []
    for url in urls:
        try:
            found = _find(url)
        except ConfigError as error:
            faults.append(str(error))
            continue
        except FileNotFoundError:
            faults.append(f"input {url}: not there")
            continue
        except Exception as error:
            faults.append(f"input {url}: cannot be read: {type(error).__name__}: {error}")
            continue
        if not found:
            faults.append(f"input {url}: no files")
        files += found
    seen: set[str] = set()
    for file in files:
        if file.uri in seen:
            faults.append(f"input {file.uri}: given twice")
        seen.add(file.uri)
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(files)


def make_shards(source: Source, files: tuple[InputFile, ...]) -> tuple[Shard, ...]:
    """Cut `files` into shards as `source` splits them. Files are opened only if the source looks into them."""

    def split(some: tuple[InputFile, ...]) -> list[Shard]:
        shards: list[Shard] = []
        for file in some:
            lazy = LazyFile(file.uri)
            try:
                pieces = source.split(cast(BinaryIO, lazy), file.uri, file.size)
            finally:
                lazy.close()
            shards += [Shard(shard_name(piece), piece, file, (i, len(pieces))) for i, piece in enumerate(pieces)]
        return shards

    n = max(1, min(FILES_AT_A_TIME, -(-len(files) // OPEN_AT_ONCE)))
    with ThreadPoolExecutor(OPEN_AT_ONCE) as threads:
        parts = threads.map(split, (files[i : i + n] for i in range(0, len(files), n)))
        made = tuple(chain.from_iterable(parts))
    by_name: dict[str, Shard] = {}
    for shard in made:
        other = by_name.setdefault(shard.name, shard)
        if other is not shard:  # one would overwrite the other
            raise ConfigError(f"{other.piece.uri} and {shard.piece.uri} would both be shard {shard.name}: rename one")
    return made


def shard_name(piece: Piece) -> str:
    """File name without its endings, the part if it is one, and 8 hex digits of the address: readable and unique."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", posixpath.basename(piece.uri).split(".")[0])[:60].strip("-") or "shard"
    part = f"-{piece.start}" if piece.start or piece.stop is not None else ""
    digest = hashlib.sha256(f"{piece.uri}#{piece.start}-{piece.stop}".encode()).hexdigest()[:8]
    return f"{stem}{part}-{digest}"


def _find(url: str) -> list[InputFile]:
    filesystem, path = locate(url)
    if url.startswith(("http://", "https://")):
        details = {path: filesystem.info(path)}  # a web server has no folders; asking for one would download the file
    elif any(sign in path for sign in "*?[") and not filesystem.exists(path):
        details = filesystem.glob(path, detail=True)
    elif "s3" in filesystem.protocol:  # where asking for a folder takes a listing of it
        details = objects(filesystem, path) or {path: filesystem.info(path)}
    elif filesystem.isdir(path):
        details = filesystem.find(path, detail=True)
    else:
        details = {path: filesystem.info(path)}
    found = []
    for name, info in sorted(details.items()):
        below = name[len(path) :] if name.startswith(path) else posixpath.basename(name)
        hidden = "/." in f"/{below}" or "/_" in f"/{below}"
        if info.get("islink") and not hidden:
            info = _linked(filesystem, name, url)  # noqa: PLW2901
        if info["type"] == "file" and not hidden:
            if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
                raise ConfigError(f"input {url}: the name of {name} is not UTF-8, which every row of it would carry")
            found.append(InputFile(address(filesystem, name), int(info["size"] or 0), _etag(info)))
    return found


def _linked(filesystem: Any, name: str, url: str) -> dict[str, Any]:
    """The file that a link in an input's folder leads to. A folder is not read through one: it might hold itself."""
    try:
        info: dict[str, Any] = filesystem.info(name)
    except OSError as error:
        raise ConfigError(f"input {url}: {name} is a link to nothing that can be read") from error
    if info["type"] == "directory" and name != locate(url)[1]:
        raise ConfigError(f"input {url}: {name} is a link to a folder: give that as an --input of its own")
    return info


def _etag(info: dict[str, Any]) -> str:
    """What the store says about the content: an etag or checksum, else the time of the last change."""
    for key in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return str(info[key]).strip('"')
    return ""
