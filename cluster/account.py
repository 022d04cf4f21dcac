"""What a step's manifests say, added up: all that a driver has to know of shards that are done.

90,000 manifests as objects take a gigabyte; what is kept of each here takes a hundredth of that.
"""

from collections import Counter
from dataclasses import dataclass

from cluster.errors import AccountError
from cluster.objects.packs import Packer, each_manifest, listed
from cluster.signals.events import Event, ShardCommitted
from cluster.storage import Folder
from schemas.manifest import Counts, Manifest


@dataclass(frozen=True, slots=True)
class Done:
    """A committed shard: its tag in the listing, its rows and its file of them; `replay` of another one's dead rows."""

    tag: str
    out: int
    path: str
    bytes: int
    replay: bool


class Account:
    """Read from the manifests that are listed. `current` says that nothing has been committed since.

    With a `fingerprint` it is an account of what was made so: a run that lost its lease may still have had a put on its
    way, and some stores know no lease.
    """

    def __init__(self, folder: Folder, fingerprint: str = "") -> None:
        self._folder, self._fingerprint = folder, fingerprint
        self._packer = Packer(folder)  # of manifests as they are committed
        self.current = False
        self._empty()

    def _empty(self) -> None:
        self.shards: dict[str, Done] = {}
        self.cpu_seconds = 0.0
        self._seen: set[str] = set()
        self._sums: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._stages: dict[bool, dict[str, None]] = {False: {}, True: {}}  # of replays: they may begin in the middle

    @property
    def counts(self) -> Counts:
        return Counts(**self._sums, dropped=dict(self._dropped))

    @property
    def stages(self) -> list[str]:
        """The stages by name, in the order in which a row meets them."""
        return list({**self._stages[False], **self._stages[True]})

    def refresh(self, pack: bool = False) -> None:
        """Read what is listed now and was not, or not like that. `pack`: put packs of many that are in none."""
        if self.current:
            return
        there = listed(self._folder)
        if any(there.get(shard) != done.tag for shard, done in self.shards.items()):
            self._empty()
        wanted = {shard: tag for shard, tag in there.items() if shard not in self.shards}
        packer = Packer(self._folder) if pack else None
        for shard, manifest in each_manifest(self._folder, wanted, self._seen, packer):
            self._add(shard, wanted[shard], manifest)
        self.current = True

    def hear(self, event: Event) -> None:
        """Pack what is committed in this run."""
        if isinstance(event, ShardCommitted):
            self.current = False
            self._packer.add(event.manifest)

    def _add(self, shard: str, tag: str, manifest: Manifest) -> None:
        if self._fingerprint and manifest.fingerprint != self._fingerprint:
            raise AccountError(
                f"{self._folder.url}/manifests/{shard}.json: made with other settings than step {manifest.step} has "
                f"now: fingerprint {self._fingerprint} expected, {manifest.fingerprint} found\n"
                f"  another run has put it there; --redo {manifest.step} makes the step again"
            )
        counts, replay = manifest.counts, "replays" in manifest.source
        data = next(file for file in manifest.files if file.path.startswith("data/"))
        self.shards[shard] = Done(tag, counts.out, data.path, data.bytes, replay)
        for name in ("rows_in", "emitted", "out", "dead", "unreadable"):
            self._sums[name] += getattr(counts, name)
        dropped = self._dropped
        for reason, rows in counts.dropped.items():
            dropped[reason] += rows
        if not manifest.stages.keys() <= self._stages[replay].keys():
            self._stages[replay].update(dict.fromkeys(manifest.stages))
        self.cpu_seconds += manifest.cpu_seconds
