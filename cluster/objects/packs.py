"""Copies of many manifests in one object, so that going on with 90,000 shards does not take 90,000 requests.

    <step>/packs/<digest>.parquet     tag, shard and bytes of PACK manifests, as they were put

A pack commits nothing and decides nothing: a manifest counts as the store's listing has it. The copy of one is taken
only if the listing gives that manifest the tag of the copy: the tag that it had when it was copied, or the MD5 of the
copy's bytes, which is what most object stores tag an object with. What no pack has is fetched, many at a time. Where
listings have no such tags (local disks, memory) there are no packs, or none is believed (hf://).
"""

import hashlib
import io
import posixpath
from collections.abc import Iterator
from itertools import islice

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.layout import check_version
from cluster.objects.listing import directly_in
from cluster.storage import Folder, locate
from schemas.manifest import VERSION, Manifest, ManifestError, from_data, from_json

PACK = 1000  # manifests: about 0.4 MB compressed; what a killed driver leaves unpacked takes some seconds to fetch
AT_ONCE = 1000  # manifests fetched before any is read: some MB
FOLDER = "packs"
SCHEMA = pa.schema([("tag", pa.string()), ("shard", pa.string()), ("manifest", pa.binary())])
TAGS = ("ETag", "etag")


def listed(folder: Folder) -> dict[str, str]:
    """The shards whose manifests are in a step's folder, sorted, and the tag of each; empty where there are none."""
    filesystem, _ = locate(folder.url)
    found = {}
    for entry in directly_in(filesystem, folder.path("manifests")):
        name = posixpath.basename(entry["name"])
        if name.endswith(".json") and not name.startswith("."):
            found[name.removesuffix(".json")] = next((str(entry[key]).strip('"') for key in TAGS if entry.get(key)), "")
    return dict(sorted(found.items()))


class Packer:
    """Gathers manifests and puts a pack of every PACK of them."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._waiting: list[tuple[str, str, bytes]] = []
        self._useful = not _plain(folder)

    def add(self, manifest: Manifest, data: bytes | None = None, tag: str = "") -> None:
        """A manifest that is in the folder: its bytes if they were read, and the tag that it is listed with."""
        if not self._useful:
            return
        self._waiting.append((tag, manifest.shard, data or manifest.to_json().encode()))
        if len(self._waiting) >= PACK:
            self._put()

    def _put(self) -> None:
        digest = hashlib.sha256()
        for tag, shard, data in self._waiting:
            digest.update(f"{tag} {shard} {len(data)} ".encode() + data)
        columns = [list(column) for column in zip(*self._waiting, strict=True)]
        self._waiting = []
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns, SCHEMA), buffer, compression="zstd", use_dictionary=False)
        self._folder.put(f"{FOLDER}/{digest.hexdigest()[:16]}.parquet", buffer.getvalue())


def each_manifest(
    folder: Folder, wanted: dict[str, str], seen: set[str] | None = None, packer: Packer | None = None
) -> Iterator[tuple[str, Manifest]]:
    """The manifests of the shards in `wanted`, which are `listed` with these tags; packs of `seen` are passed over.

    `packer` gets what was in no pack.
    """
    left = dict(wanted)
    seen = set() if seen is None else seen
    for pack in [] if _plain(folder) or len(left) < PACK else folder.names(FOLDER, ".parquet"):
        if pack not in seen:
            seen.add(pack)
            yield from _from_pack(folder, pack, left)
    names = iter(list(left))
    while shards := list(islice(names, AT_ONCE)):
        found = folder.get_many([f"manifests/{shard}.json" for shard in shards])
        for shard in shards:
            data = found.pop(f"manifests/{shard}.json")
            manifest = manifest_of(folder, f"manifests/{shard}.json", data)
            if packer is not None and left[shard]:
                packer.add(manifest, data, left[shard])
            yield shard, manifest


def manifest_of(folder: Folder, name: str, data: bytes) -> Manifest:
    """The manifest whose bytes are `data`. What is of another version is refused with the way out."""
    where = f"{folder.url}/{name}"
    try:
        manifest = _read(data, where)
    except ManifestError:
        check_version(data, where, VERSION)  # if it is that, it says what to do
        raise
    if manifest.shard != posixpath.basename(name).removesuffix(".json"):
        raise ManifestError(f"{where}: is of shard {manifest.shard}")
    return manifest


def _read(data: bytes, where: str) -> Manifest:
    """`from_json` in a fraction of its time. This parser refuses more; why, is for `from_json` to say, if it does."""
    try:
        return from_data(orjson.loads(data), where)
    except (orjson.JSONDecodeError, ManifestError):
        return from_json(data, where)


def _from_pack(folder: Folder, pack: str, left: dict[str, str]) -> Iterator[tuple[str, Manifest]]:
    """The manifests of `pack` that are as those in `left`, which are then left no more. Half a pack has none."""
    try:
        table = pq.read_table(io.BytesIO(folder.get(pack)), schema=SCHEMA)
    except (pa.ArrowInvalid, FileNotFoundError):
        return
    for tag, shard, data in zip(*(table.column(name).to_pylist() for name in SCHEMA.names), strict=True):
        if left.get(shard) and left[shard] in (tag, hashlib.md5(data, usedforsecurity=False).hexdigest()):
            del left[shard]
            yield shard, manifest_of(folder, f"manifests/{shard}.json", data)


def _plain(folder: Folder) -> bool:
    """True where reading a file costs no more than looking it up, and nothing tells its content."""
    protocol = locate(folder.url)[0].protocol
    return bool({"file", "memory"} & {protocol, *protocol})
