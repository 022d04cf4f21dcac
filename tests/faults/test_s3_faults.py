"""S3 behind a proxy that fails (s3_proxy.py): each fault alone here, all at once over whole runs in the long form."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import storage
from cluster.errors import ConfigError, StoreError, is_transient
from cluster.objects import patience, upload
from cluster.objects.conditional import slot
from cluster.plan import Plan
from cluster.shards import list_inputs
from cluster.storage import Folder
from tests.cluster.conftest import BUCKET, s3, s3_server  # noqa: F401 - fixtures
from tests.fakes import DropWith
from tests.faults.s3_proxy import KINDS, Proxy
from tests.runs import ONE_STEP, dataset, plan_over, run_local, two_steps, write

LONG = bool(os.environ.get("HEADRACE_FAULTS"))  # all kinds of faults; some of them otherwise
ROOT = Path(__file__).resolve().parents[2]
OUT = f"s3://{BUCKET}/out"
PART = 5 << 20  # the smallest that S3 has
BIG = b"0123456789abcdef" * ((2 * PART + 1000) // 16)  # three parts
FILES = {f"{name}.txt": f"one\nspam\n{name} two\n" for name in "abcdef"}
MANIFEST = r"PutObject s3://water/out/filter/manifests/a-\w+\.json"
CREDENTIALS = "[default]\naws_access_key_id={}\naws_secret_access_key={}\naws_session_token={}\n"


@pytest.fixture
def proxy(s3: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:  # noqa: F811 - as pytest has it
    """A proxy that fails nothing yet, in front of the server that the store is reached by."""
    with Proxy(s3_server, latency_s=0.05).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.address)
        monkeypatch.setattr(upload, "BLOCK_BYTES", PART)
        storage._filesystem.cache_clear()
        yield running
    storage._filesystem.cache_clear()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is a second."""
    monkeypatch.setenv(patience.VARIABLE, "1")
    storage._filesystem.cache_clear()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_over(two_steps(DropWith("spam")), write(tmp_path / "in", FILES))


def fetched(output: str, to: Path) -> Path:
    """A copy on the disk of what is on the store."""
    filesystem, path = storage.locate(output)
    for name in filesystem.find(path):
        (to / name[len(path) + 1 :]).parent.mkdir(parents=True, exist_ok=True)
        (to / name[len(path) + 1 :]).write_bytes(filesystem.cat_file(name))
    return to


@pytest.mark.parametrize("kind", KINDS if LONG else ("internal_done", "cut_answer", "reset"))
def test_each_operation_survives_each_fault_twice_in_a_row(proxy: Proxy, kind: str) -> None:
    folder = Folder(OUT)

    def twice(method: str, where: str) -> None:
        proxy.order(kind, 2, method, where)

    twice("PUT", "a.json")
    folder.put("a.json", b"{}")
    twice("GET", "a.json")
    assert folder.get("a.json") == b"{}"
    for method, where in (("POST", "uploads"), ("PUT", "partNumber=2"), ("POST", "uploadId")):
        twice(method, where)
    with folder.writing("big") as file:
        file.write(BIG[:PART])
        file.write(BIG[PART:])
    twice("HEAD", "big")
    assert folder.size("big") == len(BIG)
    twice("GET", "list-type=2")
    assert folder.names() == ["a.json", "big"]
    twice("GET", "/big")
    with folder.open("big") as file:
        assert file.read() == BIG
    place = slot(folder, ".lease.json")
    twice("PUT", ".lease.json")
    first = place.swap(None, b"first")
    assert first is not None
    twice("PUT", ".lease.json")
    assert place.swap(first, b"second") is not None
    assert place.swap(first, b"third") is None
    twice("GET", ".lease.json")
    assert getattr(place.read(), "data", None) == b"second"
    twice("DELETE", "a.json")
    folder.delete("a.json")
    twice("POST", "delete")
    folder.clear()
    assert folder.names() == []
    assert proxy.failed[kind] >= (13 if kind == "latency" else 26)  # what is only late is not sent again


def test_upload_that_is_gone_before_its_end_is_no_file(proxy: Proxy) -> None:
    proxy.order("no_upload", 1, "POST", "uploadId")
    with (
        pytest.raises(OSError, match=r"out/big: its upload was gone before it was complete") as caught,
        Folder(OUT).writing("big") as file,
    ):
        file.write(BIG)
    assert is_transient(caught.value)
    assert Folder(OUT).names() == []


def test_run_over_a_store_that_fails_is_the_run_on_disk(proxy: Proxy, plan: Plan, tmp_path: Path) -> None:
    run_local(plan, tmp_path / "disk")
    proxy.share, proxy.latency_s = 0.2, 0.01
    run_local(plan, OUT)
    proxy.share = 0.0
    assert proxy.failed.total() > 10
    assert dataset(fetched(OUT, tmp_path / "s3")) == dataset(tmp_path / "disk")
    assert not [key for key in proxy.written if "/.headrace-" not in key and "writing" in key]


def test_listings_that_lag_lose_no_row(proxy: Proxy, plan: Plan, tmp_path: Path) -> None:
    run_local(plan, tmp_path / "disk")
    proxy.lag_s = 0.5
    run_local(plan, OUT)
    time.sleep(0.5)  # as the server's listings are then
    assert dataset(fetched(OUT, tmp_path / "s3")) == dataset(tmp_path / "disk")


@pytest.mark.usefixtures("hasty")
def test_listings_that_never_catch_up_end_the_run(proxy: Proxy, plan: Plan) -> None:
    proxy.lag_s = 1000.0
    with pytest.raises(StoreError, match=r"out/filter: 6 files that were written are not listed after 1 s, man"):
        run_local(plan, OUT)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("gone", rf"{MANIFEST}: NoSuchBucket: .*\n  make it again or give"),
        ("reset", rf"{MANIFEST}: \w*Connection\w+: .*, for \d+ s\n  wait until"),
        ("refused", r"shard a-\w+ .*PermissionError: Access Denied"),
        *([("slow_down", rf"{MANIFEST}: SlowDown: .*, for \d+ s\n  wait until")] if LONG else []),
    ],
)
def test_what_does_not_pass_ends_the_run_and_the_next_one_goes_on(
    proxy: Proxy, plan: Plan, tmp_path: Path, kind: str, message: str
) -> None:
    proxy.order(kind, 1000, "PUT", "manifests/")
    with pytest.raises(Exception, match=message) as caught:
        run_local(plan, OUT)
    assert caught.value.status == 1  # type: ignore[attr-defined]
    proxy._orders.clear()
    run_local(plan, tmp_path / "disk")
    run_local(plan, OUT)
    assert dataset(fetched(OUT, tmp_path / "s3")) == dataset(tmp_path / "disk")


@pytest.mark.usefixtures("hasty")
def test_store_without_an_answer_is_told_before_anything_starts(
    s3: Any,  # noqa: F811 - a fixture
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    storage._filesystem.cache_clear()
    with pytest.raises(ConfigError, match=r"output s3://water/out: ListObjectsV2 .*out/: EndpointConnectionError"):
        run_local(plan, OUT)
    with pytest.raises(ConfigError, match=r"input s3://water/in: .* s3://water/in.*: EndpointConnectionError: .*9"):
        list_inputs([f"s3://{BUCKET}/in"])


@pytest.mark.usefixtures("hasty")
def test_credentials_that_expire_are_read_again_or_end_the_run(
    proxy: Proxy, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    storage._filesystem.cache_clear()
    file.write_text(CREDENTIALS.format(*keys, "first"))
    folder = Folder(OUT)
    folder.put("a", b"a")
    file.write_text(CREDENTIALS.format(*keys, "second"))
    proxy.expired.add("first")
    assert folder.get("a") == b"a"
    file.write_text(CREDENTIALS.format(*keys, "third"))
    proxy.expired.add("second")
    assert folder.size("a") == 1  # a HEAD, whose answer says no more than 400
    folder.delete("a")
    proxy.expired.add("third")
    with pytest.raises(StoreError, match=r"ListObjectsV2 s3://water/out/: ExpiredToken: .*\n  renew the credentials"):
        folder.names()
    file.write_text(CREDENTIALS.format(*keys, "fourth"))
    run_local(plan, OUT)
    assert len(folder.names("dedup/manifests")) == 6


# A file that must not grow fails as one on a full disk, but for the number of the error.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
from pipelines.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_full_disk_is_told_and_the_next_run_goes_on(tmp_path: Path) -> None:
    lines = "\n".join(os.urandom(40).hex() for _ in range(3000))
    source = write(tmp_path / "in", {"a.txt": "one\n", "b.txt": lines})
    write(tmp_path, {"lines.yaml": ONE_STEP})
    words = ["run", str(tmp_path / "lines.yaml"), "--input", source, "--output", str(tmp_path / "out")]
    limited = subprocess.run([sys.executable, "-c", LIMITED, *words], check=False, cwd=ROOT, capture_output=True)
    said = limited.stderr.decode()
    assert limited.returncode == 1, said
    assert re.search(
        r"cannot write .*/out/only/data/.*b-\w+\.parquet.*: File too large\n  make room; then the same", said
    )
    assert "Traceback" not in said
    assert [path.name[:2] for path in (tmp_path / "out/only/manifests").iterdir()] == ["a-"]
    assert not list((tmp_path / "out").rglob(".*.writing-*"))
    again = subprocess.run([sys.executable, "-m", "pipelines", *words], check=False, cwd=ROOT, capture_output=True)
    assert again.returncode == 0, again.stderr.decode()
    assert len(dataset(tmp_path / "out")) == 2
