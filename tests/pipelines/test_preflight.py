"""Servers that refuse us are told of before anything starts; those that say nothing clear are asked all the same."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main

Said = tuple[int, str]
KEY = "abcdefgh-1234"


class Listed:
    """A server of literal answers, by method and path; what it was asked, with the key."""

    def __init__(self, **answers: Said) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str | None]] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def _tell(self) -> None:
                told.asked.append((self.command, self.path, self.headers.get("Authorization")))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said = told.answers.get(self.command, (404, "not found"))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(said.encode())))
                self.end_headers()
                self.wfile.write(said.encode())

            do_GET = do_POST = _tell  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def listed() -> Iterator[Callable[..., Listed]]:
    servers: list[Listed] = []

    def start(**answers: Said) -> Listed:
        servers.append(Listed(**answers))
        return servers[-1]

    yield start
    for one in servers:
        one.server.shutdown()
        one.server.server_close()


def models(*names: str) -> Said:
    return 200, json.dumps({"object": "list", "data": [{"id": name} for name in names]})


def answered(text: str) -> Said:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, json.dumps({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    pq.write_table(
        pa.table({"id": ["a"], "text": ["The mill was built of stone long ago."]}), tmp_path / "docs.parquet"
    )

    def doc2query(url: str, options: str = "", *more: str) -> int:
        files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
        return main(["run", "doc2query", *files, f"--set=Doc2Query.engine=openai:{url}?tries=1{options}#m", *more])

    return doc2query


@pytest.mark.parametrize(
    ("answers", "key", "message"),
    [
        ({"GET": (401, "no key, no answer")}, "", "it takes a key, and $OPENAI_API_KEY is not set (status 401: no key"),
        ({"GET": (401, f"bad key {KEY}")}, KEY, "the key in $OPENAI_API_KEY is refused (status 401: bad key ***)"),
        ({"GET": (403, "")}, KEY, "the key in $OPENAI_API_KEY is refused (status 403"),
        (
            {"GET": models("n", "o"), "POST": (404, "The model `m` does not exist.")},
            "",
            "has no model 'm'; it has n, o",
        ),
    ],
)
def test_who_is_refused_is_told_before_anything_starts(
    answers: dict[str, Said],
    key: str,
    message: str,
    run: Callable[..., int],
    listed: Callable[..., Listed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    server = listed(**answers)
    assert run(server.url) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"headrace: Doc2Query: {server.url}")
    assert message in err
    assert KEY not in err
    assert not (tmp_path / "out").exists()
    assert {sent for _, _, sent in server.asked} == {f"Bearer {key}" if key else None}


@pytest.mark.parametrize(
    "get",
    [
        models("m", "n"),
        models("another"),  # a gateway need not list all that it has
        models(),
        (200, "<html>"),
        (200, '{"data": [1]}'),
        (200, "[]"),
        (404, "no such route"),
        (500, "oh"),
        (302, ""),
    ],
)
def test_what_is_no_refusal_is_let_pass(get: Said, run: Callable[..., int], listed: Callable[..., Listed]) -> None:
    server = listed(GET=get, POST=answered("- who built the mill\n- stone mill"))
    assert run(server.url) == 0
    assert [path for method, path, _ in server.asked if method == "GET"] == ["/v1/models"]
    trials = 2 if get == models("another") else 1
    assert sum(method == "POST" for method, _, _ in server.asked) == trials


def test_a_server_that_is_not_there_may_come_up_later(
    run: Callable[..., int], listed: Callable[..., Listed], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = listed()
    gone.server.server_close()
    assert run(gone.url, "&patience=0.2&timeout=1") == 1
    assert "step doc2query" in capsys.readouterr().err


def test_a_run_that_is_done_asks_nobody(run: Callable[..., int], listed: Callable[..., Listed]) -> None:
    server = listed(GET=models("m"), POST=answered("- who built the mill"))
    assert run(server.url) == 0
    refuses = listed(GET=(401, ""))
    assert run(refuses.url) == 0
    assert refuses.asked == []
    assert run(refuses.url, "", "--fresh") == 2


def test_openai_takes_a_key(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("https://api.openai.com/v1") == 2
    assert "Doc2Query: api.openai.com takes a key, and $OPENAI_API_KEY is not set" in capsys.readouterr().err
    assert run("https://api.openai.com/v1", "&key_env=MINE") == 2
    assert "$MINE is not set" in capsys.readouterr().err
