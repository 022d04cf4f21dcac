"""Keys and passwords: refused where they would be kept, and in none of the files, logs and messages of a run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.errors import ConfigError
from cluster.jobs import stage_code
from cluster.storage import locate
from pipelines.cli import main
from schemas.credentials import fault, faults, redacted
from stages.model_file import ModelFileError, checksum
from stages.models.openai_retry import Asking
from tests.runs import TWO_STEPS, write

SECRET = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"
ASK = "give it by the environment: "
AWS = f"{ASK}AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
HTTPS = f"""{ASK}FSSPEC_HTTPS='{{"headers": {{"Authorization": "..."}}}}'"""
ENGINE = f"{ASK}OPENAI_API_KEY, or the variable that key_env= names"


@pytest.mark.parametrize(
    ("text", "shown", "way"),
    [
        (f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/x", "s3://***@bucket/x", AWS),
        ("s3://AKIAIOSFODNN7EXAMPLE:wJalr/XUtnFEMI@bucket/x", "s3://***@bucket/x", AWS),
        (f"https://user:{SECRET}@host/x.gz", "https://***@host/x.gz", HTTPS),
        (f"https://{SECRET}@host/x.gz", "https://***@host/x.gz", HTTPS),
        (f"https://host/x?a=1&X-Amz-Signature={SECRET}&b=2", "https://host/x?a=1&X-Amz-Signature=***&b=2", HTTPS),
        (f"https://host/x?token={SECRET}", "https://host/x?token=***", HTTPS),
        (f"ftp://me:{SECRET}@host/x", "ftp://***@host/x", f"{ASK}FSSPEC_FTP_USERNAME and FSSPEC_FTP_PASSWORD"),
        (f"simplecache::s3://k:{SECRET}@b/x", "simplecache::s3://***@b/x", AWS),
        (f"zip://a.gz::https://u:{SECRET}@h/z.zip", "zip://a.gz::https://***@h/z.zip", HTTPS),
        (f"openai:https://u:{SECRET}@h/v1?tries=3#m", "openai:https://***@h/v1?tries=3#m", ENGINE),
        (f"openai:https://h/v1?api_key={SECRET}#m", "openai:https://h/v1?api_key=***#m", ENGINE),
        ("openai:https://h/v1?key_env=sk-abcdefghij0123456789#m", "openai:https://h/v1?key_env=***#m", ENGINE),
    ],
)
def test_a_key_is_refused_and_not_repeated(text: str, shown: str, way: str) -> None:
    said = str(fault(text))
    assert said.startswith(f"{shown}: a key does not belong in a")
    assert way in said
    assert redacted(text) == shown
    assert SECRET not in redacted(f"input '{text}': cannot be read")
    assert list(faults({"input": ["a", text], text: {"b": ("c", 1, None)}})) == [said, said]


@pytest.mark.parametrize(
    "text",
    [
        "", "docs/", "a@b:c", "C:/x", "s3://bucket/a@b:c/key", "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/b/x",
        "http://host:8080/a@b", "http://[::1]:80/x", "http://[::ffff:1]/x", "sftp://me@host/x", "ray://host:10001",
        "abfs://container@account.dfs.core.windows.net/x", "https://host/x?key=1&page=2", "memory://a/b",
        "openai:http://host:8000/v1?key_env=MY_KEY&tokenizer=FOLDER&tokens_per_minute=5#ORG/MODEL",
        "https://host/a:b@c/d", "https://huggingface.co/x/resolve/main/model.bin?download=true",
    ],
)  # fmt: skip
def test_what_is_no_key_is_let_pass(text: str) -> None:
    assert fault(text) is None
    assert redacted(text) == text


@pytest.mark.parametrize("part", ["x" * 30, "a::" * 10, "sk-" * 10, "?token=" * 4, "https://a" * 3])
def test_long_texts_are_looked_at_once(part: str) -> None:
    """Eight times as long a text takes eight times as long; were it gone through once a character, sixty-four times."""

    def cpu_seconds(text: str) -> float:
        begun = time.thread_time()
        fault(text)
        redacted(text)
        return time.thread_time() - begun

    short, long = (min(cpu_seconds(part * n) for _ in range(3)) for n in (1_250, 10_000))
    assert long < 24 * max(short, 0.001)


@pytest.mark.parametrize("option", ["--input", "--output", "--ledger", "--address", "--set", "--config"])
def test_no_option_takes_a_key(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"twice.yaml": TWO_STEPS, "in/a.txt": "a\n"})
    value = f"https://user:{SECRET}@host/x"
    if option == "--config":
        Path("c.yaml").write_text(f"input: in\noutput: {value}\n")
    words = {"--set": f"DropWith.word={value}", "--config": "c.yaml"}
    for command in ("run", "submit", "plan"):
        if command == "plan" and option in ("--output", "--address"):
            continue
        given = ["--input", "in", *(["--output", "out"] if command != "plan" else []), option, words.get(option, value)]
        assert main([command, "twice.yaml", *given]) == 2
        said = "".join(capsys.readouterr())
        assert "https://***@host/x: a key does not belong in an address" in said
        assert SECRET not in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "c.yaml") == ["in", "twice.yaml"]


@pytest.mark.parametrize("words", [["--unknown", f"https://u:{SECRET}@h"], ["--set", f"OPENAI_API_KEY={SECRET}"]])
def test_no_complaint_repeats_a_key(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(["run", "web", "--input", "x", "--output", "y", *words]) == 2
    except SystemExit as error:
        assert error.code == 2
    said = "".join(capsys.readouterr())
    assert "***" in said
    assert SECRET not in said


def test_a_recipe_with_a_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = f"openai:https://host/v1?api_key={SECRET}#model"
    recipe = TWO_STEPS.replace(
        "{stage: tests.fakes.CrashOn, word: bad}", f"{{stage: tests.fakes.Asks, engine: '{engine}'}}"
    )
    write(tmp_path, {"r.yaml": recipe, "in/a.txt": "a\n"})
    status = main(["run", str(tmp_path / "r.yaml"), "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")])
    said = "".join(capsys.readouterr())
    assert status == 2
    assert "r.yaml: openai:https://host/v1?api_key=***#model: a key does not belong in an address" in said
    assert SECRET not in said


def test_the_library_refuses_it_too() -> None:
    with pytest.raises(ConfigError, match=r"^s3://\*\*\*@bucket/x: a key does not belong"):
        locate(f"s3://key:{SECRET}@bucket/x")
    with pytest.raises(ModelFileError, match=r"^T: https://\*\*\*@host/m\.bin: a key does not belong"):
        checksum(f"https://u:{SECRET}@host/m.bin", "0" * 64, "T")


def test_a_servers_words_are_told_without_the_key() -> None:
    asking = Asking.__new__(Asking)
    asking._secret = SECRET
    assert asking._hide(f"status 401: Incorrect API key provided: {SECRET}") == (
        "status 401: Incorrect API key provided: ***"
    )


VARIABLES = {
    "AWS_ACCESS_KEY_ID": f"{SECRET}1", "AWS_SECRET_ACCESS_KEY": f"{SECRET}2", "AWS_SESSION_TOKEN": f"{SECRET}3",
    "OPENAI_API_KEY": f"{SECRET}4", "HF_TOKEN": f"{SECRET}5", "FSSPEC_S3_SECRET": f"{SECRET}6",
}  # fmt: skip
WATCHED = """
import sys, threading
from pathlib import Path
from pipelines.cli import main
seen, ended = set(), threading.Event()
def watch():
    while not ended.wait(0.02):
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(place.read_bytes())
            except OSError:
                pass
threading.Thread(target=watch, daemon=True).start()
status = main(sys.argv[2:])
ended.set()
Path(sys.argv[1]).write_bytes(b"\\n".join(seen))
sys.exit(status)
"""


def run_watched(folder: Path, *words: str) -> str:
    """A run with secrets in its environment; what it said, and the command lines of all processes meanwhile."""
    command = [sys.executable, "-c", WATCHED, str(folder / "ps"), *words]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **VARIABLES}, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return (done.stdout + done.stderr + (folder / "ps").read_bytes()).decode(errors="replace")


def kept(folder: Path) -> list[str]:
    """Files below `folder` that have the secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def test_no_file_of_a_run_has_a_key_of_its_environment(tmp_path: Path) -> None:
    write(tmp_path, {"twice.yaml": TWO_STEPS, "in/a.txt": "a\nb\nbad\nspam\nb\n"})
    run = ["run", str(tmp_path / "twice.yaml"), "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert SECRET not in run_watched(tmp_path, *run, "--max-dead", "1")
    assert kept(tmp_path / "out") == []


@pytest.mark.ray
@pytest.mark.skipif(os.environ.get("HEADRACE_FAULTS") != "1", reason="a Ray of its own: make faults")
def test_nor_has_any_of_rays(tmp_path: Path) -> None:
    """Its logs, and the command lines of its processes and workers."""
    write(tmp_path, {"twice.yaml": TWO_STEPS, "in/a.txt": "a\nb\nbad\nspam\nb\n"})
    run = ["run", str(tmp_path / "twice.yaml"), "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    before = {*Path("/tmp/ray").glob("session_2*")}
    assert SECRET not in run_watched(tmp_path, *run, "--max-dead", "1", "--runner", "ray", "--workers", "1")
    assert kept(tmp_path / "out") == []
    sessions = {*Path("/tmp/ray").glob("session_2*")} - before
    assert sessions
    for session in sessions:
        assert kept(session / "logs") == []


def test_what_is_shipped_is_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has the name of a recipe stays here, and so do hidden files and what links lead to."""
    monkeypatch.chdir(tmp_path)
    Path("web").write_text(SECRET)
    Path("ship").mkdir()
    assert stage_code(Path("ship"), "web") == "web"
    assert sorted(path.name for path in Path("ship").iterdir()) == ["cluster", "pipelines", "schemas", "stages"]
    names = [path.name for path in Path("ship").rglob("*")]
    assert [name for name in names if name.startswith(".") or name == "__pycache__"] == []
    assert json.dumps([str(path) for path in Path("ship").rglob("*") if path.is_symlink()]) == "[]"
