"""The lease's place on Google Cloud Storage, and a whole run there. Skipped where gcsfs is not installed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster import lease, storage
from cluster.objects.conditional import slot
from cluster.objects.swap import Seen, Slot
from cluster.storage import Folder
from pipelines.cli import main
from tests.cluster.gcs_server import BUCKET, DONE, OURS, URL, Store

SAMPLE = str(Path(__file__).resolve().parents[1] / "data" / "sample.warc.gz")


@pytest.fixture
def folder(gcs: Store) -> Folder:
    return Folder(URL)


@pytest.fixture
def place(folder: Folder) -> Slot:
    return slot(folder, ".lease.json")


def test_of_six_at_once_one_wins(folder: Folder, place: Slot) -> None:
    start = threading.Barrier(6)

    def contend(number: int) -> Seen | None:
        start.wait()
        return slot(folder, ".lease.json").swap(None, b"%d" % number)

    with ThreadPoolExecutor(6) as threads:
        winners = [seen for seen in threads.map(contend, range(6)) if seen is not None]
    assert winners == [place.read()]


def test_holder_changes_it_and_who_has_seen_an_older_one_does_not(place: Slot) -> None:
    first = place.swap(None, b"first")
    assert first is not None
    second = place.swap(first, b"second")
    assert second is not None
    assert second.tag != first.tag
    assert place.swap(first, b"third") is None
    assert place.swap(None, b"third") is None
    assert place.read() == second


def test_what_is_left_is_gone_and_another_ones_stays(folder: Folder, place: Slot) -> None:
    first = place.swap(None, b"first")
    assert first is not None
    second = place.swap(first, b"second")
    assert second is not None
    place.leave(first)
    assert place.read() == second
    place.leave(second)
    assert place.read() is None
    assert not folder.exists(".lease.json")
    place.leave(second)
    assert place.swap(second, b"third") is None  # what was seen is there no more
    assert place.swap(None, b"again") is not None


@OURS
@pytest.mark.parametrize(("status", "when"), DONE)
def test_put_whose_answer_was_lost_is_ours(place: Slot, gcs: Store, status: int, when: str) -> None:
    gcs.fail("POST", "/o?", status, when == "done", times=2)
    first = place.swap(None, b"first")
    assert first is not None
    assert first == place.read()
    gcs.fail("POST", "/o?", status, when == "done", times=2)
    second = place.swap(first, b"second")
    assert second is not None
    assert second == place.read()
    gcs.fail("DELETE", "lease", status, when == "done", times=2)
    place.leave(second)
    assert place.read() is None


@OURS
def test_lost_answer_of_one_who_was_refused_is_no_win(place: Slot, gcs: Store) -> None:
    other = place.swap(None, b"other")
    gcs.fail("POST", "/o?", 0, done=True)
    assert place.swap(None, b"mine") is None
    assert place.read() == other


@OURS
def test_lease_is_not_kept_by_a_cache_between(place: Slot, gcs: Store) -> None:
    place.swap(None, b"first")
    assert gcs.buckets[BUCKET]["out/.lease.json"][0]["cacheControl"] == "no-store"


@OURS
def test_store_that_pays_no_heed_is_told(folder: Folder, gcs: Store) -> None:
    gcs.heedless = True
    told: list[str] = []
    with lease.held(folder, told.append) as holder:
        lease.confirm(URL, holder)
    assert told == [f"output {URL}: two runs at once are not kept apart here: "
                    "the store pays no heed to ifGenerationMatch"]  # fmt: skip


@OURS
def test_store_that_tells_no_generation_is_told(folder: Folder, gcs: Store) -> None:
    gcs.fail("GET", "alt=media", 200)
    told: list[str] = []
    with lease.held(folder, told.append) as holder:
        assert holder == ""
    assert told == [f"output {URL}: two runs at once are not kept apart here: "
                    "the store does not tell the generation of what it sends"]  # fmt: skip


def rows(output: str) -> dict[str, pa.Table]:
    """Every file of rows that the steps have written, by name."""
    folder = Folder(output)
    parts = [f"{step}/{part}" for step in ("filter", "dedup") for part in ("data", "removed", "dead")]
    return {name: pq.read_table(folder.open(name)) for part in parts for name in folder.names(part, ".parquet")}


@pytest.mark.slow
def test_web_recipe_is_the_run_on_disk_and_goes_on(folder: Folder, tmp_path: Path) -> None:
    words = ["run", "web", "--input", SAMPLE, "--set", "ExtractText.engine=resiliparse", "--max-dead", "0.01"]
    words += ["--set", "ReadWarc.piece_bytes=100000", "--output"]
    assert main([*words, str(tmp_path / "out")]) == 0
    expected = rows(str(tmp_path / "out"))
    assert sum(table.num_rows for name, table in expected.items() if name.startswith("dedup/data")) > 20
    assert main([*words, URL]) == 0
    assert rows(URL) == expected
    assert slot(folder, lease.NAME).read() is None
    # As a run that was killed would leave it: one shard not committed, and what came after it not begun.
    manifests = folder.names("filter/manifests", ".json")
    assert len(manifests) > 2
    filesystem: Any = storage.locate(URL)[0]
    kept = {name: filesystem.info(folder.path(name))["generation"] for name in manifests[1:]}
    folder.delete(manifests[0], "run.json")
    folder.below("dedup").clear()
    assert main([*words, URL]) == 0
    assert rows(URL) == expected
    assert folder.names("filter/manifests", ".json") == manifests
    assert {name: filesystem.info(folder.path(name))["generation"] for name in manifests[1:]} == kept
