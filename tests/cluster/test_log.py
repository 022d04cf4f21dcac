"""The log as text, which is what it always was, and as objects."""

import json
import logging
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.jobs import entrypoint
from cluster.signals.log import Log, Others, adopt, captured
from pipelines.cli import DEFAULTS, main
from tests.runs import ONE_STEP, write

KEYS = ["time", "level", "run", "recipe", "step", "shard", "event", "message"]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_object_has_what_a_line_says_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    Log("json", "r1", "web").tell("two\nlines \x1b[2J \u202e", event="retried", step="only", shard="a", why="tired")
    (line,) = objects(capsys.readouterr().err)
    assert list(line) == [*KEYS, "why"]
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info", "run": "r1", "recipe": "web", "step": "only", "shard": "a", "event": "retried",
        "message": "two\nlines \x1b[2J \u202e", "why": "tired",
    }  # fmt: skip


def test_an_object_is_one_line_of_plain_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Log("json").tell("two\nlines \x1b[2J \u202e")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert text.isascii()


def test_text_is_the_message_alone_and_details_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Log().tell("one", event="retried", step="only", shard="a")
    Log().detail("two", event="shard_committed")
    assert capsys.readouterr().err == "one\n"


def test_what_libraries_say_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    with captured(Log("json")):
        logging.getLogger("some.library").warning("%d retries", 3)
        with warnings.catch_warnings(action="always"):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    lines = objects(capsys.readouterr().err)
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("library", "warning", "some.library"), ("library", "warning", "py.warnings"),
    ]  # fmt: skip
    assert lines[0]["message"] == "3 retries"
    logging.getLogger("some.library").warning("behind it")
    assert capsys.readouterr().err == ""


def test_a_librarys_mistake_in_its_own_line_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("some.library", logging.WARNING, "", 1, "%d retries", ("no number",), None)
    Others(Log("json")).emit(record)
    (line,) = objects(capsys.readouterr().err)
    assert line["message"] == "%d retries"


def test_a_workers_libraries_are_of_the_step_that_it_has_open(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        adopt(Log(), "none")
        assert root.handlers == before
        for step in ("filter", "dedup"):
            adopt(Log("json", "r1", "web"), step)
            logging.getLogger("some.library").warning("slow")
        assert len(root.handlers) == len(before) + 1
    finally:
        root.handlers[:] = before
    lines = objects(capsys.readouterr().err)
    assert [(line["run"], line["step"], line["event"]) for line in lines] == [
        ("r1", "filter", "library"), ("r1", "dedup", "library"),
    ]  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    recipe = tmp_path / "lines.yaml"
    recipe.write_text(ONE_STEP)
    folder = write(tmp_path / "in", {"a.txt": "one\nspam\n", "b.txt": "two\n"})
    return ["run", str(recipe), "--input", folder, "--output", str(tmp_path / "out")]


def test_a_run_in_text_says_what_it_always_said(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    first, last = capsys.readouterr().err.splitlines()
    assert first == "only: shards 0/2 (0 running), 0 in, 0 kept, 0 dropped, 0/s"
    assert last.startswith("only: shards 2/2 (0 running), 3 in, 2 kept, 1 dropped, ")


def test_a_run_in_objects_tells_its_shards(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--log-format", "json"]) == 0
    out, err = capsys.readouterr()
    lines = objects(err)
    assert "= kept" in out  # the answer stays what it is
    assert [line["event"] for line in lines] == [
        "run_began", "step_began", "progress", "shard_began", "shard_committed", "shard_began", "shard_committed",
        "progress", "step_ended", "run_ended",
    ]  # fmt: skip
    assert {line["recipe"] for line in lines} == {"lines"}
    assert len({line["run"] for line in lines}) == 1
    assert {line["step"] for line in lines[1:-1]} == {"only"}
    committed = [line for line in lines if line["event"] == "shard_committed"]
    assert [(line["attempt"], line["rows_in"], line["out"], line["dropped"]) for line in committed] == [
        (1, 2, 1, 1), (1, 1, 1, 0),
    ]  # fmt: skip
    assert [line["shard"] for line in lines if line["event"] == "shard_began"] == [c["shard"] for c in committed]
    assert (lines[-2]["message"], lines[-1]["status"]) == ("step only is done", "done")


def test_rows_that_die_and_what_ends_a_run_are_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.yaml").write_text(
        ONE_STEP.replace("tests.fakes.Upper", "{stage: tests.fakes.CrashOn, word: two}")
    )
    assert main([*command, "--log-format", "json"]) == 1
    lines = objects(capsys.readouterr().err)
    (died,) = [line for line in lines if line["event"] == "rows_died"]
    assert (died["level"], died["step"], died["rows"], died["cause"]) == ("warning", "only", 1, "CrashOn: ValueError")
    assert died["shard"].startswith("b-")
    assert [line["event"] for line in lines[-3:]] == ["step_ended", "run_ended", "error"]
    assert {line["level"] for line in lines[-3:]} == {"error"}
    assert lines[-2]["status"] == "failed"
    assert lines[-1]["message"].startswith("headrace: step only: 1 of 3 rows died")


def test_a_wrong_command_is_told_in_objects_too(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--max-dead", "7", "--log-format", "json"]) == 2
    (line,) = objects(capsys.readouterr().err)
    assert (line["event"], line["status"]) == ("error", 2)
    assert line["message"] == "headrace: --max-dead should be between 0 and 1, got 7.0"


def test_a_file_may_choose_the_form(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("log_format: json\n")
    assert main([*command, "--config", str(tmp_path / "run.yaml")]) == 0
    assert objects(capsys.readouterr().err)[-1]["event"] == "run_ended"
    (tmp_path / "run.yaml").write_text("log_format: xml\n")
    assert main([*command, "--config", str(tmp_path / "run.yaml")]) == 2
    assert "'log_format' should be text or json, found 'xml'" in capsys.readouterr().err


def test_a_submitted_run_has_the_same_log() -> None:
    options = {**DEFAULTS, "recipe": "web", "input": ["a"], "output": "o", "log_format": "json", "otel": True}
    words = entrypoint(options)
    assert words[words.index("--log-format") + 1] == "json"
    assert "--otel" in words
    assert not {"--log-format", "--otel"} & {*entrypoint({**options, "log_format": "text", "otel": False})}
