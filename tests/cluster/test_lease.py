"""One run at a time on an output: the second one is refused, a dead one's lease ends, a loser writes nothing more."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster import lease as module
from cluster.errors import ConfigError, LeaseLostError
from cluster.lease import NAME, Held, Process, confirm, held, take, this_process
from cluster.objects.conditional import slot
from cluster.objects.s3 import S3
from cluster.objects.swap import NotSupportedError, Seen
from cluster.storage import Folder, locate
from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from tests.cluster.conftest import BUCKET
from tests.runs import one_step, plan_over, run_local, texts, write

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = Process("elsewhere", "another boot", 7, 1.0)
DEAD = replace(this_process(), pid=1 << 30)
RECIPE = """
name: gated
steps:
  - name: only
    source: tests.fakes.ReadLines
    stages: [{stage: tests.cluster.test_lease.Gate, path: GATE}]
"""
# The program as it would be in another pod: its process number says nothing here, and it says that it lives often, on a
# machine that may stand still for long.
IN_A_POD = """
import sys
from cluster import lease
lease._place = lambda: ("pod-1", "another boot")
lease.RENEW_S, lease.LASTS_S = 0.2, 60.0
from pipelines.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Gate:
    """Tells that it was reached, and lets rows through once the file `path` is there."""

    path: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            Path(f"{self.path}.reached").touch()
            until(Path(self.path).exists)
            return table

        return apply


@dataclass(frozen=True)
class Robbed:
    """While a row is on its way through it, another run takes the output over."""

    output: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if "two" in table.column("text").to_pylist():
                place = slot(Folder(self.output), NAME)
                assert place.swap(place.read(), b'{"holder": "thief", "host": "den", "pid": 9, "since": "noon"}')
            return table

        return apply


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


# Where adlfs is installed and told of a store with a container "water": Azurite is one.
AZURE = ["azure"] if find_spec("adlfs") and os.environ.get("AZURE_STORAGE_CONNECTION_STRING") else []


# Where gcsfs is installed; the server is a test's own, or the one that HEADRACE_GCS_ENDPOINT names.
GOOGLE = ["gcs"] if find_spec("gcsfs") else []


@pytest.fixture(params=["disk", "memory", "s3", *AZURE, *GOOGLE])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "s3":
        request.getfixturevalue("s3")
        yield f"s3://{BUCKET}/out"
    elif request.param == "gcs":
        request.getfixturevalue("gcs")
        yield f"gs://{BUCKET}/out"
    elif request.param == "azure":
        yield f"az://{BUCKET}/out"
        Folder(f"az://{BUCKET}/out").clear()
    elif request.param == "disk":
        yield f"file://{tmp_path}/out"
    else:
        yield "memory://lease-test/out"
        MemoryFileSystem.store.clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are hundredths."""
    for name, seconds in (("RENEW_S", 0.03), ("LASTS_S", 0.3), ("LOOK_S", 0.01)):
        monkeypatch.setattr(module, name, seconds)


def taken(url: str, monkeypatch: pytest.MonkeyPatch, by: Process | None = None, alive: bool = True) -> Held:
    """The lease on `url` in the hands of a process that renews it, or does not any more."""
    with monkeypatch.context() as patch:
        if by is not None:
            patch.setattr(module, "this_process", lambda: by)
        lease = take(Folder(url), print)
    if not alive:
        lease._ended.set()
        lease._thread.join()
    return lease


def shorten(url: str) -> None:
    """The lease on `url`, whose holder is dead, says from now on that it lasts for half a second."""
    place = slot(Folder(url), NAME)
    seen = place.read()
    assert seen is not None
    assert place.swap(seen, json.dumps({**json.loads(seen.data), "lasts_s": 0.5}).encode()) is not None


def no_note(message: str) -> None:
    raise AssertionError(message)


def test_second_is_refused_at_once_with_who_and_since_when(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(url, monkeypatch)
    record = first.record
    with pytest.raises(ConfigError) as caught:
        take(Folder(url), no_note)
    assert str(caught.value).splitlines() == [
        f"output {url}: another run is writing to it: process {os.getpid()} on {record['host']}, since "
        f"{record['since']}",
        "  wait for it or stop it, or give another --output",
    ]
    confirm(url, first.holder)
    first.release()
    with pytest.raises(LeaseLostError, match="nobody has it"):
        confirm(url, first.holder)
    take(Folder(url), no_note).release()


def test_what_a_killed_process_of_this_host_held_is_taken_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: no_note("waited"))
    monkeypatch.setattr(module, "time", clock)  # and no clock of other threads
    later = replace(this_process(), started=-1.0)  # one of our number that was there before us
    for dead in (DEAD, later):
        first = taken(url, monkeypatch, dead, alive=False)
        second = take(Folder(url), no_note)
        with pytest.raises(LeaseLostError, match=f"process {os.getpid()} on .* has it"):
            confirm(url, first.holder)
        second.release()


def test_a_dead_process_that_nobody_has_buried_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(this_process(), pid=child.pid, started=module._started(child.pid) or 0.0)
    assert process.alive() is True
    child.kill()
    until(lambda: process.alive() is False)
    child.communicate()
    assert process.alive() is False
    assert ELSEWHERE.alive() is None


@pytest.mark.usefixtures("quick")
def test_living_process_of_another_host_is_seen_to_live(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LASTS_S", 60.0)  # its beats may be late on a busy machine; the first one is waited for
    first = taken(url, monkeypatch, ELSEWHERE)
    told: list[str] = []
    with pytest.raises(ConfigError, match="another run is writing to it: process 7 on elsewhere, since 20"):
        take(Folder(url), told.append)
    assert len(told) == 1
    assert "looking for up to 60 s if it is alive" in told[0]
    first.release()


@pytest.mark.usefixtures("quick")
def test_lease_of_another_host_ends_once_it_does_not_change(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(url, monkeypatch, ELSEWHERE, alive=False)
    begun = time.monotonic()
    second = take(Folder(url), lambda message: None)
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(LeaseLostError):
        confirm(url, first.holder)
    confirm(url, second.holder)
    second.release()


@pytest.mark.usefixtures("quick")
def test_holder_that_slept_too_long_does_not_take_it_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(url, monkeypatch, ELSEWHERE, alive=False)
    second = take(Folder(url), lambda message: None)
    first._ended.clear()
    first._renew()  # ends, as it finds another one there
    first.release()
    confirm(url, second.holder)
    second.release()


def test_of_many_at_once_one_has_it(url: str) -> None:
    start = threading.Barrier(6)

    def contend(number: int) -> Held | None:
        start.wait()
        try:
            return take(Folder(url), no_note)
        except ConfigError:
            return None

    with ThreadPoolExecutor(6) as threads:
        winners = [lease for lease in threads.map(contend, range(6)) if lease is not None]
    assert len(winners) == 1
    winners[0].release()


def test_nothing_is_left_but_an_empty_object_where_deleting_knows_no_condition(url: str) -> None:
    with held(Folder(url)) as holder:
        assert len(holder) == 32
    left = slot(Folder(url), NAME).read()
    assert left is None or (url.startswith(("s3://", "az://")) and left.data == b"")
    assert Folder(url).names() == []


def test_unreadable_lease_is_one_of_somebody(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LASTS_S", 0.05)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    for text in (b"{", b"[]", b'{"version": 2}'):
        place = slot(Folder(url), NAME)
        assert place.swap(place.read(), text)
        told: list[str] = []
        take(Folder(url), told.append).release()
        assert "held by process 0 on unknown" in told[0]


def test_run_that_lost_its_output_writes_nothing_more(url: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in", {"a.txt": "one\n", "b.txt": "two\n"})
    with pytest.raises(LeaseLostError, match="this run has lost its lease on it, process 9 on den, since noon has it"):
        run_local(plan_over(one_step(Robbed(url)), source), url)
    out = Folder(url)
    assert [name[:11] for name in out.names("only/manifests")] == ["only/manife"]
    assert "a-" in out.names("only/manifests")[0]
    assert [name.partition("-")[0] for name in out.names("only/data")] == ["only/data/a"]
    assert not out.exists("run.json")
    assert b"thief" in out.get(NAME)


def test_store_that_cannot_keep_runs_apart_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cannot(folder: Folder, name: str) -> Any:
        raise NotSupportedError("ftp:// has no conditional put that headrace knows")

    monkeypatch.setattr(module, "slot", cannot)
    result = run_local(plan_over(one_step(), write(tmp_path / "in", {"a.txt": "one\n"})), tmp_path / "out")
    assert result["status"] == "done"
    assert "two runs at once are not kept apart here: ftp:// has no conditional put" in capsys.readouterr().err


def test_store_that_pays_no_heed_to_conditions_is_told(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def heedless(self: S3, seen: Seen | None, data: bytes) -> Seen:
        out = self.filesystem.call_s3("put_object", Bucket=self.bucket, Key=self.key, Body=data)
        return Seen(data, out["ETag"])

    monkeypatch.setattr(S3, "swap", heedless)
    told: list[str] = []
    with held(Folder(f"s3://{BUCKET}/out"), told.append) as holder:
        confirm(f"s3://{BUCKET}/out", holder)
    assert told == [f"output s3://{BUCKET}/out: two runs at once are not kept apart here: "
                    "the store pays no heed to If-None-Match"]  # fmt: skip


def test_store_that_compares_tags_without_quotes_is_asked_so(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceph's gateway 16 refuses a tag with its quotes, whatever it is."""
    filesystem: Any = locate(f"s3://{BUCKET}")[0]
    call = filesystem.call_s3

    def ceph(method: str, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("IfMatch", "").startswith('"'):
            refused: Any = ValueError("412")
            refused.response = {"Error": {"Code": "PreconditionFailed"}}
            raise OSError(22, None) from refused
        return call(method, *args, **kwargs)

    monkeypatch.setattr(filesystem, "call_s3", ceph)
    place = slot(Folder(f"s3://{BUCKET}/out"), NAME)
    first = place.swap(None, b"first")
    assert first is not None
    second = place.swap(first, b"second")
    assert second == place.read()
    assert place.swap(first, b"third") is None
    assert getattr(place.read(), "data", None) == b"second"


@pytest.mark.parametrize("place", ["disk", "s3", *GOOGLE])
def test_two_processes(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of two commands one wins; after kill -9 of it the other goes on: at once here, from a pod after a while."""
    output = str(tmp_path / "out")
    program = [sys.executable, "-m", "pipelines"]
    if place != "disk":
        request.getfixturevalue(place)
        output = f"{'gs' if place == 'gcs' else place}://{BUCKET}/out"
        program = [sys.executable, "-c", IN_A_POD]
    gate = tmp_path / "gate"
    source = write(tmp_path / "in", {"a.txt": "one\n", "b.txt": "two\n"})
    write(tmp_path, {"gated.yaml": RECIPE.replace("GATE", str(gate))})
    words = ["run", str(tmp_path / "gated.yaml"), "--input", source, "--output", output]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen([*program, *words], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    here = [sys.executable, "-m", "pipelines", *words]
    try:
        until(Path(f"{gate}.reached").exists)
        for more in ([], ["--fresh"]):
            second = subprocess.run([*here, *more], check=False, cwd=ROOT, env=environment, capture_output=True)
            assert second.returncode == 2
            assert f"another run is writing to it: process {first.pid} on " in second.stderr.decode()
    finally:
        first.kill()
        first.wait()
    if place != "disk":
        shorten(output)
    gate.touch()
    third = subprocess.run(here, check=False, cwd=ROOT, env=environment, capture_output=True)
    said = third.stderr.decode()
    assert third.returncode == 0, said
    assert ("looking for up to 0.5 s if it is alive" in said) == (place != "disk")
    if place == "disk":
        assert texts(tmp_path / "out/only/data") == ["one", "two"]
    assert len(Folder(output).names("only/manifests")) == 2
