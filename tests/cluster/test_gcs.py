"""Google Cloud Storage through gcsfs, over HTTP on loopback (gcs_server.py). Skipped where gcsfs is not installed."""

import contextlib
import re
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster import lease, storage
from cluster.errors import ConfigError, StoreError, is_transient
from cluster.objects import patience, upload
from cluster.objects.gcs_patience import Request, check_upload
from cluster.shards import list_inputs
from cluster.storage import Folder
from tests.cluster.gcs_server import BUCKET, DONE, KIB_256, OURS, URL, Store

SESSION = f"http://127.0.0.1:1/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=out%2Fa&upload_id=se-cr_et"
BIG = b"0123456789abcdef" * ((2 * KIB_256 + 1000) // 16)


@pytest.fixture
def folder(gcs: Store) -> Folder:
    return Folder(URL)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is half a second."""
    monkeypatch.setenv(patience.VARIABLE, "0.5")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is the smallest that the store takes."""
    monkeypatch.setattr(upload, "BLOCK_BYTES", KIB_256)


# What is said


@pytest.mark.parametrize(
    ("request_", "said", "of_bucket"),
    [
        (Request("GET", "http://x/storage/v1/b/water/o", {"prefix": "out/"}), "GET gs://water/out/", True),
        (Request("GET", "http://x/storage/v1/b/water/o/out%2Fo", {}), "GET gs://water/out/o", False),
        (Request("DELETE", "http://x/storage/v1/b/water/o/o", {}), "DELETE gs://water/o", False),
        (Request("GET", "http://x/storage/v1/b/water", {}), "GET gs://water/", False),
        (Request("GET", "http://x/download/storage/v1/b/w/o/a%20b?alt=media", {}), "GET gs://w/a b", False),
        (Request("POST", "http://x/upload/storage/v1/b/w/o", {"name": "a/b"}), "POST gs://w/a/b", True),
        (Request("POST", "http://x/upload/storage/v1/b/w/o?name=a%2Fb", {}), "POST gs://w/a/b", True),
        (Request("POST", SESSION, {}), "POST gs://water/out/a", False),
    ],
)
def test_request_is_told_by_its_object(request_: Request, said: str, of_bucket: bool) -> None:
    assert (str(request_), request_.of_bucket) == (said, of_bucket)


def test_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    storage._filesystem.cache_clear()
    monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    with pytest.raises(ConfigError, match=r"gs://x/y: Google Cloud Storage needs gcsfs: pip install 'headrace\[gcs\]'"):
        storage.locate("gs://x/y")


def test_gcsfs_of_another_make_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("gcsfs.core", reason="pip install gcsfs")
    storage._filesystem.cache_clear()
    monkeypatch.setattr(core.GCSFileSystem, "_request", core.GCSFileSystem._request.__wrapped__)
    with pytest.raises(ConfigError, match=r"gs://x/y: this gcsfs sends its requests in a way that is not known here"):
        storage.locate("gs://x/y")


@pytest.mark.parametrize(
    ("status", "headers", "sent", "error"),
    [
        (308, {"Range": "bytes=0-9"}, "bytes 0-9/*", None),
        (308, {}, "bytes 0-9/*", ConnectionError),  # to be sent again
        (308, {"Range": "bytes=0-8"}, "bytes */10", OSError),  # gcsfs would ask for ever
        (200, {}, "bytes */10", None),
    ],
)
def test_upload_goes_on_only_where_gcsfs_knows_how(status: int, headers: Any, sent: str, error: Any) -> None:
    with contextlib.nullcontext() if error is None else pytest.raises(error) as caught:
        check_upload((status, headers, None, b""), {"headers": {"Content-Range": sent}})
    assert error is None or type(caught.value) is error


# Files


def test_file_is_visible_only_when_whole(folder: Folder) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), folder.writing("big") as file:
        file.write(b"x" * (20 << 20))  # the first part is on the server by now
        assert folder.names() == []
        raise RuntimeError("in the middle")
    assert folder.names() == []
    with folder.writing("big") as file:
        file.write(b"x" * (20 << 20))
        assert folder.names() == []
    assert folder.size("big") == 20 << 20
    assert folder.get("big") == b"x" * (20 << 20)


def test_error_while_writing_leaves_the_earlier_file(folder: Folder) -> None:
    folder.put("a", b"whole")
    with pytest.raises(ValueError, match="in the middle"), folder.writing("a") as file:
        file.write(b"half")
        raise ValueError("in the middle")
    assert folder.get("a") == b"whole"


@OURS
def test_upload_that_is_forgotten_is_cancelled_and_never_completed(folder: Folder, gcs: Store, parts: None) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), folder.writing("big") as file:
        file.write(BIG)
        assert len(gcs.sessions) == 1
        raise RuntimeError("in the middle")
    assert gcs.sessions == {}
    assert folder.names() == []


@pytest.mark.parametrize("size", [0, 1, KIB_256, KIB_256 + 1, 2 * KIB_256, 2 * KIB_256 + 1, 5 * KIB_256])
@pytest.mark.usefixtures("parts")
def test_file_of_any_size_is_read_as_it_was_written(folder: Folder, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    with folder.writing("a") as file:
        for begin in range(0, size, 100_001):
            file.write(data[begin : begin + 100_001])
    assert folder.get("a") == data
    with folder.open("a") as file:
        file.seek(size // 2)
        assert file.read() == data[size // 2 :]


def test_page_that_holds_the_boundary_of_an_upload_is_not_cut_off_at_it(folder: Folder) -> None:
    """What gcsfs puts between the parts of a request, and what ends one."""
    for page in (b"one\n--==0==--\ntwo", b"one\r\n--==0==--\r\ntwo", b"\r\n--==0==\r\n\r\n\r\n"):
        folder.put("page", page)
        assert folder.get("page") == page


def test_parquet_is_read_back(folder: Folder) -> None:
    table = pa.table({"n": list(range(100_000)), "text": [f"row {n}" for n in range(100_000)]})
    with folder.writing("data/a.parquet") as file:
        pq.write_table(table, file, row_group_size=10_000)
    with folder.open("data/a.parquet") as file:
        assert pq.read_table(file) == table


def test_names_folders_and_many_files(folder: Folder) -> None:
    assert (folder.names(), folder.folders(), folder.exists(), folder.exists("a")) == ([], [], False, False)
    for name in ("m/b.json", "m/a.json", "m/.hidden.json", "m/c.txt", "m/deep/d.json", "top.json", "m#1?x=2 %41/é"):
        folder.put(name, name.encode())
    assert folder.names("m", ".json") == ["m/a.json", "m/b.json"]
    assert folder.names() == ["top.json"]
    assert folder.folders() == ["m", "m#1?x=2 %41"]
    assert folder.get_many(["m/a.json", "m/c.txt"]) == {"m/a.json": b"m/a.json", "m/c.txt": b"m/c.txt"}
    assert folder.get("m#1?x=2 %41/é") == "m#1?x=2 %41/é".encode()
    with pytest.raises(FileNotFoundError, match=f"GET {URL}/absent"):
        folder.get("absent")
    folder.delete("top.json", "absent")
    assert folder.names() == []
    folder.below("m").clear()
    folder.below("m").clear()
    assert folder.folders() == ["m#1?x=2 %41"]


@OURS
def test_listing_of_many_pages_is_whole(folder: Folder, gcs: Store) -> None:
    gcs.page = 3
    names = [f"{n:02}.json" for n in range(20)]
    for name in names:
        folder.put(name, b"")
    assert folder.names() == names


def test_input_is_found_as_file_folder_and_glob(folder: Folder) -> None:
    for name in ("in/a.txt", "in/deep/b.txt", "in/_hidden/c.txt"):
        folder.put(name, b"x")
    for url, found in (
        (f"{URL}/in", ["in/a.txt", "in/deep/b.txt"]),
        (f"{URL}/in/a.txt", ["in/a.txt"]),
        (f"{URL}/in/*.txt", ["in/a.txt"]),
    ):
        files = list_inputs([url])
        assert [file.uri for file in files] == [f"{URL}/{name}" for name in found]
        assert all(file.etag for file in files)
    with pytest.raises(ConfigError, match="not there"):
        list_inputs([f"{URL}/nowhere"])


# Trouble


@OURS
@pytest.mark.parametrize(("status", "when"), DONE)
def test_each_operation_survives_each_fault(folder: Folder, gcs: Store, parts: None, status: int, when: str) -> None:
    def fail(method: str, where: str) -> None:
        gcs.fail(method, where, status, when == "done", times=2)

    fail("POST", "name=out/a.json")
    folder.put("a.json", b"{}")
    fail("GET", "alt=media")
    assert folder.get("a.json") == b"{}"
    fail("POST", "name=out/big")
    fail("POST", "upload_id")
    with folder.writing("big") as file:
        file.write(BIG[:KIB_256])
        file.write(BIG[KIB_256:])
        fail("POST", "upload_id")
    assert folder.get("big") == BIG
    fail("GET", "o/out/big")
    assert folder.size("big") == len(BIG)
    fail("GET", "prefix")
    assert folder.names() == ["a.json", "big"]
    fail("DELETE", "big")
    folder.delete("big")
    assert folder.names() == ["a.json"]
    fail("DELETE", "a.json")
    folder.clear()
    assert folder.names() == []
    assert [fault for fault in gcs.faults if fault.times] == []


@OURS
def test_chunk_of_which_nothing_came_is_sent_again(folder: Folder, gcs: Store, parts: None) -> None:
    gcs.fail("POST", "upload_id", 308)
    with folder.writing("big") as file:
        file.write(BIG)
    assert folder.get("big") == BIG


@OURS
@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.usefixtures("parts")
def test_upload_that_is_gone_before_its_end_is_no_file(folder: Folder, gcs: Store, status: int) -> None:
    with pytest.raises(OSError, match="its upload was gone before it") as caught, folder.writing("big") as file:
        file.write(BIG)
        gcs.fail("POST", "upload_id", status, times=9)
    assert is_transient(caught.value)
    assert folder.names() == []


@OURS
@pytest.mark.usefixtures("hasty")
def test_patience_ends_with_what_was_asked_and_is_lost_once(folder: Folder, gcs: Store) -> None:
    folder.put("a", b"x")
    gcs.fail("GET", "/o/", 503, times=1000, message="Backend Error")
    with pytest.raises(StoreError, match=rf"GET {URL}/a: Backend Error, 503, for \d s\n  wait until the store answers"):
        folder.get("a")
    asked = len(gcs.asked)
    with pytest.raises(StoreError, match=r"Backend Error, 503, for 0 s"):
        folder.get("a")
    assert len(gcs.asked) == asked + 1
    gcs.faults.clear()
    assert folder.get("a") == b"x"


@pytest.mark.usefixtures("hasty", "gcs")
def test_store_that_is_not_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
        with pytest.raises(ConfigError, match=r"cannot write to .*: StoreError: POST gs://water/out/.*ConnectorError"):
            Folder(URL).check_writable()
    storage._filesystem.cache_clear()


def test_bucket_that_is_not_there_ends_it_at_once(gcs: Store) -> None:
    folder = Folder("gs://dry/out")
    for do in (folder.names, lambda: folder.put("a", b""), lambda: lease.take(folder, print), folder.exists):
        with pytest.raises(StoreError, match=r"gs://dry/out.*: there is no such bucket\n  make it again"):
            do()


@OURS
@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_is_told_what_to_give(folder: Folder, gcs: Store, status: int) -> None:
    gcs.fail("POST", "/o", status, message="Anonymous caller does not have storage.objects.create access", times=9)
    with pytest.raises(PermissionError) as caught:
        folder.put("a", b"")
    assert re.fullmatch(
        rf"Forbidden: POST {URL}/a: Anonymous caller does not have storage.objects.create access(, 401)?\n"
        r"  give credentials that may do that \(GOOGLE_APPLICATION_CREDENTIALS\); then the same command goes on .*",
        str(caught.value),
    )
    assert not is_transient(caught.value)


@OURS
def test_credentials_that_have_expired_are_read_again(
    folder: Folder, gcs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem: Any = storage.locate(URL)[0]
    read: list[Any] = []
    monkeypatch.setattr(filesystem.credentials, "connect", read.append)
    gcs.fail("POST", "/o", 401, message="Invalid Credentials", times=2)
    folder.put("a", b"x")
    assert read == ["anon", "anon"]


@OURS
@pytest.mark.parametrize(
    ("status", "kind"), [(400, OSError), (403, PermissionError), (404, OSError), (503, StoreError)]
)
@pytest.mark.usefixtures("hasty", "parts")
def test_no_message_lets_others_write(folder: Folder, gcs: Store, status: int, kind: type[Exception]) -> None:
    """The address of an upload is a key to it."""
    with pytest.raises(kind) as caught, folder.writing("big") as file:
        file.write(BIG[:KIB_256])
        gcs.fail("POST", "upload_id", status, times=1000, message="see /o?upload_id=session-0&x=1")
        file.write(BIG[KIB_256:])
    said: BaseException | None = caught.value
    while said is not None:
        assert "session-0" not in str(said)
        said = said.__cause__ or (None if said.__suppress_context__ else said.__context__)
