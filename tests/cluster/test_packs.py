"""Packs of manifests: taken only for what the listing shows, on an S3 server; the account is that of the manifests."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.account import Account
from cluster.commit import read_manifests
from cluster.errors import AccountError
from cluster.objects import packs
from cluster.objects.packs import Packer, each_manifest, listed, manifest_of
from cluster.shards import InputFile, Shard
from cluster.signals.events import ShardCommitted
from cluster.storage import Folder
from schemas.manifest import Counts, File, Manifest, ManifestError, StageCost, from_json
from stages.stage import Piece
from tests.cluster.conftest import BUCKET


def manifest(shard: str, out: int = 3, dropped: int = 1, made_as: str = "f", **source: Any) -> Manifest:
    counts = Counts(out + dropped, 0, out, {"Screen.short": dropped})
    files = (File(f"data/{shard}.parquet", out, 100 * out),)
    return Manifest(
        "only", shard, made_as, {"uri": f"s3://in/{shard}", **source}, files, counts, (), {"Screen": StageCost()}, 1, 2
    )


@pytest.fixture
def folder(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(packs, "PACK", 4)
    monkeypatch.setattr(packs, "AT_ONCE", 3)
    return Folder(f"s3://{BUCKET}/out/only")


def put(folder: Folder, *manifests: Manifest) -> None:
    for one in manifests:
        folder.put(f"manifests/{one.shard}.json", one.to_json().encode())


def fetched(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The manifests that are fetched one by one from now on."""
    asked: list[str] = []
    real = Folder.get_many

    def watched(self: Folder, names: list[str]) -> dict[str, bytes]:
        asked.extend(name.removeprefix("manifests/").removesuffix(".json") for name in names)
        return real(self, names)

    monkeypatch.setattr(Folder, "get_many", watched)
    return asked


def test_manifests_in_packs_are_not_fetched(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    all_ = [manifest(f"s{n}") for n in range(10)]
    put(folder, *all_)
    packer = Packer(folder)
    for one in all_:
        packer.add(one)
    assert len(folder.names("packs", ".parquet")) == 2
    asked = fetched(folder, monkeypatch)
    assert read_manifests(folder) == {one.shard: one for one in all_}
    assert asked == ["s8", "s9"]


def test_manifest_that_has_changed_or_gone_is_not_taken_from_a_pack(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_ = [manifest(f"s{n}") for n in range(8)]
    put(folder, *all_)
    packer = Packer(folder)
    for one in all_:
        packer.add(one)
    put(folder, other := manifest("s1", out=5))
    folder.delete("manifests/s2.json")
    asked = fetched(folder, monkeypatch)
    found = read_manifests(folder)
    assert (found["s1"], sorted(found)) == (other, ["s0", "s1", "s3", "s4", "s5", "s6", "s7"])
    assert asked == ["s1"]


def test_what_is_found_in_no_pack_is_packed_with_the_tags_of_the_listing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores that encrypt do not tag an object with the MD5 of its bytes."""
    put(folder, *(manifest(f"s{n}") for n in range(8)))
    tags = {shard: f"kms-{shard}" for shard in listed(folder)}
    monkeypatch.setattr("cluster.account.listed", lambda _: tags)
    Account(folder).refresh(pack=True)
    assert len(folder.names("packs", ".parquet")) == 2
    asked = fetched(folder, monkeypatch)
    assert len(dict(each_manifest(folder, tags))) == 8
    assert asked == []


def test_half_a_pack_is_no_pack(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    all_ = [manifest(f"s{n}") for n in range(4)]
    put(folder, *all_)
    packer = Packer(folder)
    for one in all_:
        packer.add(one)
    (pack,) = folder.names("packs", ".parquet")
    folder.put(pack, folder.get(pack)[:200])
    asked = fetched(folder, monkeypatch)
    assert sorted(read_manifests(folder)) == ["s0", "s1", "s2", "s3"]
    assert asked == ["s0", "s1", "s2", "s3"]


def test_account_goes_on_from_what_it_knows(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, *(manifest(f"s{n}") for n in range(5)))
    account = Account(folder)
    account.refresh()
    assert (account.counts.out, account.cpu_seconds, account.stages) == (15, 10.0, ["Screen"])
    asked = fetched(folder, monkeypatch)
    account.refresh()  # nothing was committed since
    late = manifest("s5", out=7)
    put(folder, late)
    account.hear(ShardCommitted(Shard("s5", Piece("s3://in/s5"), InputFile("s3://in/s5", 1, "")), late))
    account.refresh()
    assert asked == ["s5"]
    assert account.counts == Counts(28, 0, 22, {"Screen.short": 6})
    put(folder, manifest("s0", out=1))  # another one under a name that is known: all is read again
    account.current = False
    account.refresh()
    assert account.counts == Counts(26, 0, 20, {"Screen.short": 6})


def test_replay_is_told_from_its_shard(folder: Folder) -> None:
    put(folder, manifest("s0"), manifest("s0-replay-1", out=0, replays="s0"))
    account = Account(folder)
    account.refresh()
    assert {shard: done.replay for shard, done in account.shards.items()} == {"s0": False, "s0-replay-1": True}


def test_pack_is_not_believed_where_listings_have_no_tags(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hf:// for one: the tag of a manifest is empty there, and so is that of the copy in a pack."""
    packer = Packer(folder)
    for n in range(4):
        packer.add(manifest(f"s{n}"))
    put(folder, *(later := [manifest(f"s{n}", out=5) for n in range(4)]))
    monkeypatch.setattr("cluster.account.listed", lambda _: dict.fromkeys(("s0", "s1", "s2", "s3"), ""))
    account = Account(folder)
    account.refresh(pack=True)
    assert account.counts.out == sum(one.counts.out for one in later) == 20
    assert len(folder.names("packs", ".parquet")) == 1  # and none is put that nobody would believe


def test_manifest_of_other_settings_is_refused(folder: Folder) -> None:
    """A run that has lost its lease may still have a put on its way."""
    put(folder, manifest("s0"), manifest("s1"), manifest("s1-replay-1", out=0, replays="s1"))
    account = Account(folder, "f")
    account.refresh()
    put(folder, manifest("s0", made_as="older"))
    account.current = False
    with pytest.raises(AccountError) as caught:
        account.refresh()
    assert str(caught.value).splitlines() == [
        f"s3://{BUCKET}/out/only/manifests/s0.json: made with other settings than step only has now: fingerprint f "
        "expected, older found",
        "  another run has put it there; --redo only makes the step again",
    ]
    account = Account(folder)  # whoever does not know what a step should be
    account.refresh()
    assert account.counts.out == 6


def test_disk_has_no_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK", 2)
    folder = Folder(str(tmp_path))
    put(folder, *(manifest(f"s{n}") for n in range(4)))
    account = Account(folder)
    account.refresh(pack=True)
    assert account.counts.out == 12
    assert [path.name for path in tmp_path.iterdir()] == ["manifests"]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"seconds": float("nan")}, None),  # Python writes and reads it
        ({"source": {"uri": "s3://in/\ud800"}}, None),
        ({"counts": {"rows_in": 2**70, "out": 2**70}}, None),  # orjson has none beyond 64 bits
        ({"seconds": "1"}, "seconds '1' is no number"),
        ({"colour": "red"}, "unknown field 'colour'"),
    ],
)
def test_manifest_is_what_the_slow_parser_makes_of_it(tmp_path: Path, changed: Any, fault: str | None) -> None:
    data = json.dumps({**json.loads(manifest("s0").to_json()), **changed}).encode()
    if fault is None:
        assert repr(manifest_of(Folder(str(tmp_path)), "manifests/s0.json", data)) == repr(from_json(data, ""))
        return
    with pytest.raises(ManifestError) as caught:
        manifest_of(Folder("/out/only"), "manifests/s0.json", data)
    assert str(caught.value) == f"/out/only/manifests/s0.json: {fault}"


def test_manifest_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.put("manifests/s9.json", manifest("s0").to_json().encode())
    with pytest.raises(ManifestError, match=r"manifests/s9.json: is of shard s0"):
        read_manifests(folder)
