"""A hostile or careless user: a command ends with a result or a line that says what is wrong, never a traceback."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.printing import say, unforeseen
from tests.runs import ONE_STEP, texts, write

HUGE = "x" * 1_000_000


class Cli:
    """The command line in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, list[str]]:
        """(exit status, lines of stderr)."""
        self.capsys.readouterr()
        try:
            status = main(list(words))
        except SystemExit as error:
            status = int(str(error.code))
        said = self.capsys.readouterr().err
        assert "Traceback" not in said
        return status, said.splitlines()

    def run(self, *words: str, source: str = "in", output: str = "out") -> tuple[int, list[str]]:
        return self("run", "lines.yaml", "--input", source, "--output", output, *words)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"lines.yaml": ONE_STEP, "in/a.txt": "a\nspam\nb\n"})
    Path("loop").symlink_to("loop")
    return Cli(capsys)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"source": ""}, "headrace: input '': is empty"),
        ({"source": "loop"}, "headrace: input loop: cannot be read: OSError: [Errno 40]"),
        ({"source": "nowhere"}, "headrace: input nowhere: not there"),
        ({"source": "foo://bar"}, "headrace: foo://bar: Protocol not known: foo"),
        ({"source": "://"}, "headrace: input ://: not there"),
        ({"source": "in\udcff"}, "headrace: input in\\udcff: not there"),
        ({"source": "x" * 5000}, "headrace: input xxxxx"),
        ({"output": ""}, "headrace: no output: give --output"),
        ({"output": "in"}, "headrace: input in is inside output in, which the run writes to"),
        ({"output": "in/out"}, "headrace: output in/out is inside input in: the next run would read it"),
        ({"source": ".", "output": "out"}, "headrace: output out is inside input .: the next run would read it"),
        ({"output": "lines.yaml"}, "headrace: output lines.yaml: holds files that are not headrace's"),
        ({"output": "lines.yaml/x"}, "headrace: output lines.yaml/x: cannot be read: NotADirectoryError"),
        ({"output": "loop"}, "headrace: output loop: cannot be read: OSError: [Errno 40]"),
        ({"output": "/proc/x"}, "headrace: cannot write to file:///proc/x:"),
        ({"output": "/dev/null"}, "headrace: cannot write to file:///dev/null:"),
        ({"output": "x" * 300}, "headrace: output xxxx"),
        ({"output": "o\udcff"}, "headrace: output o\\udcff: its name is not UTF-8"),
        ({"output": "foo://"}, "headrace: foo://: Protocol not known: foo"),
    ],
)
def test_places_that_are_none(cli: Cli, words: dict[str, str], fault: str) -> None:
    status, said = cli.run(**words)
    assert status == 2
    assert said[0].startswith(fault)
    assert all(len(line) < 2200 for line in said)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--set", "DropWith.word=[1,2"], "--set DropWith.word=[1,2: while parsing a flow sequence"),
        (["--set", "DropWith.word={a: b}"], "DropWith.word should be str, got {'a': 'b'}"),
        (["--set", f"DropWith.word=[{HUGE}]"], "DropWith.word should be str, got ['xxxxxx"),
        (["--set", "DropWith.word=\udcff"], "--set DropWith.word=\\udcff: unacceptable character"),
        (["--set", "ReadLines.table_rows=1e400"], "ReadLines.table_rows should be int, got '1e400'"),
        (["--set", "="], "--set =: expected stage.setting=value"),
        (["--set", f"{HUGE}.x=1"], "recipe lines has no stage or step 'xxxxx"),
        (["--memory", "nan"], "--memory should be a size such as 4GB"),
        (["--memory", "9" * 400], "--memory should be a size such as 4GB, got a number of 400 digits"),
        (["--max-dead", "nan"], "--max-dead should be between 0 and 1, got nan"),
        (["--redo", "../x"], "--redo ../x: recipe lines has no such step"),
        (["--ledger", "/proc/x"], "cannot write to /proc/x: "),
    ],
)
def test_settings_that_are_none(cli: Cli, words: list[str], fault: str) -> None:
    status, said = cli.run(*words)
    assert status == 2
    assert said[0].startswith(f"headrace: {fault}")
    assert sum(map(len, said)) < 10_000


@pytest.mark.parametrize("name", ["in", "out [1]*", "a\nb", "e\x1b[31m", "-", "%20", "~", "in\\out"])
def test_odd_names_of_outputs_are_taken(cli: Cli, name: str) -> None:
    write(Path("other"), {"c.txt": "q\n"})
    status, _ = cli.run(source="other", output=f"o/{name}")
    assert status == 0
    assert texts(Path("o") / name / "only" / "data") == ["Q"]


def test_a_hidden_output_within_an_input_is_no_input(cli: Cli) -> None:
    for _ in range(2):
        assert cli.run(output="in/.out")[0] == 0


def test_an_input_within_an_output_is_not_deleted(cli: Cli) -> None:
    assert cli.run()[0] == 0
    status, said = cli.run("--fresh", source="out/only/data")
    assert (status, len(said)) == (2, 1)
    assert texts(Path("out/only/data")) == ["A", "B"]
    Path("link").symlink_to("out/only/data")
    assert cli.run("--fresh", source="link")[0] == 2


TABLES: dict[str, tuple[Any, str]] = {
    "numbers": (pa.table({"text": [1, 2]}), "column 'text' is int64, ReadParquet.text takes text"),
    "lists": (pa.table({"text": [["a"], ["b"]]}), "column 'text' is list<element: string>, ReadParquet.text takes"),
    "no text": (pa.table({"body": ["a"]}), "column 'text' is missing"),
    "no rows": (pa.table({"text": pa.array([], pa.string())}), "ReadParquet found none in"),
    "twice": (pa.table([["a"], ["b"]], names=["text", "text"]), "more than one column is called 'text': rename all"),
    "empty": (b"", "no Parquet file: Parquet file size is 0 bytes"),
    "no footer": (b"PAR1xxxxPAR1", "no Parquet file: "),
    "text": (b"hello\n" * 100, "no Parquet file: "),
}


@pytest.mark.parametrize("name", TABLES)
def test_files_that_are_no_documents(cli: Cli, name: str) -> None:
    content, fault = TABLES[name]
    if isinstance(content, bytes):
        Path("t.parquet").write_bytes(content)
    else:
        pq.write_table(content, "t.parquet")
    status, said = cli("run", "dedup-exact", "--input", "t.parquet", "--output", "out")
    assert status == 2
    assert fault in said[0]


def test_columns_of_other_types_are_the_users_own(cli: Cli) -> None:
    odd = {"url": [3, 4], "id": [1.5, 2.5], "drop_reason": [1, 2], "edits": ["x", "y"], "drop_stage": [None, None]}
    pq.write_table(pa.table({"text": ["a", "b"], **odd}), "t.parquet")
    assert cli("run", "dedup-exact", "--input", "t.parquet", "--output", "out")[0] == 0
    assert texts(Path("out/dedup/data")) == ["a", "b"]


@pytest.mark.parametrize("content", ["", "[]", "1", "[" * 5000, '{"a": 1}', "\x00", '{"stages": 7, "version": 1}'])
@pytest.mark.parametrize("command", [["status"], ["report"], ["explain", "x"], ["replay"]])
@pytest.mark.parametrize("name", ["run.json", "only/step.json", "status.json"])
def test_an_output_that_is_broken_is_told_of(cli: Cli, content: str, command: list[str], name: str) -> None:
    """In whatever way: no traceback, and the exit status of a fault, or of what can be told without that file."""
    write(Path("out"), {"only/step.json": '{"version": 1}', name: content})
    status, said = cli(command[0], "out", *command[1:])
    assert status in (0, 1, 2)
    assert (status == 0) == (not said)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_told_of(cli: Cli) -> None:
    Path("in").chmod(0)
    status, said = cli.run()
    Path("in").chmod(0o755)
    assert status == 2
    assert said[0].startswith("headrace: input in: cannot be read: PermissionError")


def test_what_nobody_foresaw_is_one_line_and_where_it_was() -> None:
    try:
        say(7)  # type: ignore[arg-type]
    except TypeError as error:
        error.add_note("in step only, shard a")
        lines = str(unforeseen(error)).splitlines()
    assert lines[0].startswith("TypeError: ")
    assert lines[1] == "  in step only, shard a"
    assert lines[2].startswith("  at schemas/visible.py:")
    assert "pipelines/printing.py:" in lines[2]


def test_what_a_terminal_cannot_write_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    say("\N{FULL BLOCK} kept")
    out.flush()
    assert out.buffer.getvalue() == b"\\u2588 kept\n"  # type: ignore[attr-defined]
