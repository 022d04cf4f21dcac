import contextlib
import hashlib
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stages.model_file import ModelFileError, checksum, locate

BODY = b"weights" * 1000
SUM = hashlib.sha256(BODY).hexdigest()


@contextlib.contextmanager
def serving():
    """An HTTP server that has one file; yields its URL and the list of requests."""
    asked = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/model.bin" else 404)
            self.end_headers()
            self.wfile.write(BODY if self.path == "/model.bin" else b"no")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as served:
        yield served


def test_url_is_fetched_once_and_kept(site):
    url, asked = site
    paths = {locate(f"{url}/model.bin", SUM, "Test") for _ in range(3)}
    assert asked == ["/model.bin"]
    assert paths.pop().read_bytes() == BODY


def test_several_at_once_fetch_once(site):
    url, asked = site
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: locate(f"{url}/model.bin", SUM, "Test"), range(8)))
    assert asked == ["/model.bin"]
    assert {path.read_bytes() for path in paths} == {BODY}


def test_damaged_cache_is_fetched_again(site):
    url, asked = site
    locate(f"{url}/model.bin", SUM, "Test").write_bytes(b"half")
    assert locate(f"{url}/model.bin", SUM, "Test").read_bytes() == BODY
    assert len(asked) == 2


def test_wrong_checksum_names_both_and_leaves_nothing(site, tmp_path):
    url, _ = site
    with pytest.raises(ModelFileError, match=f"has SHA-256 {SUM}, expected {'0' * 64}"):
        locate(f"{url}/model.bin", "0" * 64, "Test")
    assert [path.suffix for path in (tmp_path / "headrace").iterdir()] == [".lock"]


def test_what_cannot_be_fetched_says_what_to_do(site, tmp_path):
    url, _ = site
    with pytest.raises(ModelFileError, match=r"Test: cannot fetch .*missing.bin.*404"):
        locate(f"{url}/missing.bin", SUM, "Test")
    with pytest.raises(ModelFileError, match="needs its checksum"):
        checksum(f"{url}/model.bin", None, "Test")
    with pytest.raises(ModelFileError, match=r"cannot fetch 's3://bucket/model\.bin': give the path"):
        checksum("s3://bucket/model.bin", SUM, "Test")
    with pytest.raises(ModelFileError, match="no model file at"):
        checksum(str(tmp_path / "absent"), None, "Test")


def test_local_file_is_known_by_its_own_checksum(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(BODY)
    assert checksum(str(path), None, "Test") == checksum(str(path), SUM.upper(), "Test") == SUM
    assert locate(str(path), SUM, "Test") == path
    path.write_bytes(b"changed")
    with pytest.raises(ModelFileError, match=f"expected {SUM}"):
        locate(str(path), SUM, "Test")
