"""The program: what it prints, what it ends with, and that a wrong command starts nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pipelines.cli
from cluster.errors import StoreError
from cluster.lease import NAME
from cluster.run import Options
from cluster.storage import Folder
from pipelines.asked import with_models
from pipelines.cli import main
from pipelines.recipes import RECIPES
from tests.runs import ONE_STEP, TWO_STEPS, dataset, texts, write

FILES = {"a.txt": "a\nspam\nb\n", "b.txt": "b\nbad\n"}


class Cli:
    """The command line in a folder of its own: input in `in`, output in `out`, recipes beside them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        write(folder / "in", FILES)
        write(folder, {"lines.yaml": ONE_STEP, "twice.yaml": TWO_STEPS})

    def __call__(self, *words: str) -> tuple[int, str, list[str]]:
        """(exit status, stdout, lines of stderr)."""
        self.capsys.readouterr()
        status = main(list(words))
        said = self.capsys.readouterr()
        return status, said.out, said.err.splitlines()

    def run(self, *words: str, recipe: str = "lines.yaml") -> tuple[int, str, list[str]]:
        return self("run", recipe, "--input", "in", "--output", "out", "--max-dead", "1", *words)

    def refused(self, *words: str) -> list[str]:
        """What a command says that ends with 2, prints nothing and writes nothing."""
        before = self.files()
        status, out, err = self(*words)
        assert (status, out, self.files()) == (2, "", before)
        return err

    def files(self) -> dict[str, bytes]:
        return {str(f): f.read_bytes() for f in sorted(self.folder.rglob("*")) if f.is_file()}


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, capsys)


def test_run_prints_the_funnel_and_where_the_data_is(cli: Cli) -> None:
    status, out, err = cli.run()
    assert status == 0
    assert out.splitlines()[0] == "only: 2 shards, 5 rows in"
    assert "- DropWith.spam" in out
    assert out.rstrip().endswith("CPU seconds: out/only/data")
    assert err[-1].startswith("only: shards 2/2")
    assert texts(cli.folder / "out/only/data") == ["A", "B", "B", "BAD"]


def test_run_prints_run_json_as_its_last_line(cli: Cli) -> None:
    status, out, _ = cli.run("--json")
    (line,) = out.splitlines()
    assert status == 0
    assert json.loads(line) == json.loads((cli.folder / "out/run.json").read_text())


def test_second_run_goes_on_with_the_first(cli: Cli) -> None:
    cli.run()
    before = dataset(cli.folder / "out")
    assert cli("run", "lines.yaml", "--input", "./in", "--output", "out/", "--max-dead", "1")[0] == 0
    assert dataset(cli.folder / "out") == before


def test_settings_from_the_line_go_before_those_from_the_file(cli: Cli) -> None:
    write(
        cli.folder, {"run.yaml": "input: in\noutput: elsewhere\nset: {DropWith: {word: b}, ReadLines: {table_rows: 2}}"}
    )
    status, _, _ = cli("run", "lines.yaml", "--config", "run.yaml", "--output", "out", "--set", "DropWith.word=a")
    assert status == 0
    step = json.loads((cli.folder / "out/only/step.json").read_text())["identity"]
    assert step["source"]["settings"] == {"table_rows": 2}
    assert step["stages"][0]["settings"] == {"word": "a"}
    assert not (cli.folder / "elsewhere").exists()


def test_no_removed_text_leaves_the_text_out(cli: Cli) -> None:
    import pyarrow.parquet as pq

    cli.run("--no-removed-text")
    (removed,) = (cli.folder / "out/only/removed").iterdir()
    assert "text" not in pq.read_schema(removed).names


def test_fresh_starts_over(cli: Cli) -> None:
    cli.run()
    status, _, _ = cli.run("--fresh", "--set", "DropWith.word=b")
    assert status == 0
    assert texts(cli.folder / "out/only/data") == ["A", "SPAM"]


def test_failed_run_says_the_reason_in_its_first_line(cli: Cli) -> None:
    status, out, err = cli("run", "twice.yaml", "--input", "in", "--output", "out", "--max-dead", "0.1")
    assert (status, out) == (1, "")
    place = next(i for i, line in enumerate(err) if line.startswith("headrace: "))
    assert err[place].startswith(
        "headrace: step filter: 1 of 5 rows died, more than --max-dead 0.1 allows; they are in "
    )
    assert err[place + 1] == "         1  CrashOn: ValueError"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "wbe", "--input", "in", "--output", "out"], "no recipe 'wbe'; did you mean 'web'?"),
        (["run", "zzz", "--input", "in", "--output", "out"],
         f"no recipe 'zzz'; there is {', '.join(sorted(RECIPES))}, or a .yaml file"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--set", "DropWit.word=x"],
         "recipe lines has no stage or step 'DropWit'; did you mean 'DropWith'?"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--set", "DropWith.wrod=x"],
         "DropWith has no setting 'wrod'; did you mean 'word'?"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--set", "ReadLines.table_rows=many"],
         "ReadLines.table_rows should be int, got 'many'"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--set", "word"],
         "--set word: expected stage.setting=value, such as ExtractText.engine=resiliparse"),
        (["run", "lines.yaml", "--output", "out"], "no input: give --input"),
        (["run", "lines.yaml", "--input", "in"], "no output: give --output"),
        (["run", "lines.yaml", "--input", "nowhere", "--output", "out"], "input nowhere: not there"),
        (["run", "lines.yaml", "--input", "in/*.warc", "--output", "out"], "input in/*.warc: no files"),
        (["run", "lines.yaml", "--input", "s4://x", "--output", "out"], "s4://x: Protocol not known: s4"),
        (["run", "lines.yaml", "--input", "in", "--output", "s4://x"], "s4://x: Protocol not known: s4"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--workers", "0"],
         "--workers should be at least 1, got 0"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--max-dead", "2"],
         "--max-dead should be between 0 and 1, got 2.0"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--memory", "400MB"],
         "--memory should be at least 640MiB, got 400MB"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--memory", "lots"],
         "--memory should be a size such as 4GB, 512MiB or a number of bytes, got 'lots'"),
        (["run", "lines.yaml", "--input", "in", "--output", "out", "--max-dead", "nan"],
         "--max-dead should be between 0 and 1, got nan"),
        (["submit", "lines.yaml", "--input", "in", "--output", "out", "--workers", "-1"],
         "--workers should be at least 1, got -1"),
        (["submit", "lines.yaml", "--output", "out"], "no input: give --input"),
        (["plan", "lines.yaml", "--input", "in", "--sample", "0"], "--sample should be at least 1, got 0"),
        (["plan", "lines.yaml", "--input", "in", "--workers", "0"], "--workers should be at least 1, got 0"),
        (["plan", "lines.yaml"], "no input: give --input"),
        (["status", "nowhere"], "nowhere: no run of headrace is there"),
        (["report", "nowhere"], "nowhere: no run of headrace is there"),
        (["replay", "nowhere"], "nowhere: no run of headrace is there"),
        (["explain", "nowhere", "x"], "nowhere: no run of headrace is there"),
        (["stages", "ReadWrac"], "no stage 'ReadWrac'; did you mean 'ReadWarc'?"),
    ],
)  # fmt: skip
def test_wrong_command_is_refused_with_one_line(cli: Cli, words: list[str], said: str) -> None:
    assert cli.refused(*words) == [f"headrace: {said}"]


def test_several_faults_are_counted_and_listed(cli: Cli) -> None:
    assert cli.refused("run", "lines.yaml", "--input", "in", "--workers", "0", "--max-dead", "-1") == [
        "headrace: 3 faults, nothing was started",
        "  no output: give --output",
        "  --max-dead should be between 0 and 1, got -1.0",
        "  --workers should be at least 1, got 0",
    ]


def test_config_with_unknown_keys_is_refused_with_all_of_them(cli: Cli) -> None:
    write(cli.folder, {"run.yaml": "inptu: in\noutptu: out\nworkers: two\n"})
    assert cli.refused("run", "lines.yaml", "--config", "run.yaml") == [
        "headrace: 3 faults, nothing was started",
        "  run.yaml: unknown key 'inptu'; did you mean 'input'?",
        "  run.yaml: unknown key 'outptu'; did you mean 'output'?",
        "  run.yaml: 'workers' should be int, found 'two'",
    ]


def test_recipe_with_unknown_keys_is_refused_with_all_of_them(cli: Cli) -> None:
    write(cli.folder, {"r.yaml": "nmae: x\nsteps:\n - {nam: a, source: tests.fakes.ReadLine}\n"})
    assert cli.refused("run", "r.yaml", "--input", "in", "--output", "out") == [
        "headrace: 4 faults, nothing was started",
        "  r.yaml: unknown key 'nmae'; did you mean 'name'?",
        "  r.yaml: step 1: unknown key 'nam'; did you mean 'name'?",
        "  r.yaml: step 1: 'name' should be letters, digits, - and _, found None",
        "  r.yaml: step 1: tests.fakes.ReadLine: no stage 'ReadLine' in tests.fakes; did you mean 'ReadLines'?",
    ]


def test_broken_yaml_is_one_fault_with_its_place(cli: Cli) -> None:
    write(cli.folder, {"r.yaml": "steps: [a\nname: x"})
    first, *rest = cli.refused("run", "r.yaml", "--input", "in", "--output", "out")
    assert first.startswith("headrace: r.yaml: while parsing a flow sequence")
    assert any("line 2, column 5" in line for line in rest)


def test_empty_folder_and_input_without_rows_are_refused(cli: Cli) -> None:
    (cli.folder / "empty").mkdir()
    write(cli.folder, {"none/a.txt": "!bad\n"})
    assert cli.refused("run", "lines.yaml", "--input", "empty", "--output", "out") == [
        "headrace: input empty: no files"
    ]
    assert cli.refused("run", "lines.yaml", "--input", "none", "--output", "out") == [
        f"headrace: input without rows: ReadLines found none in file://{cli.folder}/none/a.txt, 1 unreadable pieces:",
        f"  file://{cli.folder}/none/a.txt at 0: bad line",
    ]


def test_schema_that_does_not_fit_is_refused(cli: Cli) -> None:
    write(cli.folder, {"r.yaml": ONE_STEP.replace("tests.fakes.Upper", "stages.drop_duplicates.DropDuplicates")})
    assert cli.refused("run", "r.yaml", "--input", "in", "--output", "out") == [
        "headrace: step only: DropDuplicates reads 'duplicate_of', which no earlier stage adds"
    ]


def test_output_with_another_runs_data_is_refused_with_the_difference(cli: Cli) -> None:
    cli.run()
    words = ("run", "lines.yaml", "--input", "in", "--output", "out", "--set", "DropWith.word=ham")
    assert cli.refused(*words) == [
        "headrace: output out holds another run's data (--redo only to do it all again, --fresh to start over, "
        "or give another --output):",
        "  DropWith.word was 'spam', is 'ham'",
    ]


def test_output_with_foreign_files_is_refused(cli: Cli) -> None:
    write(cli.folder / "out", {"thesis.tex": "x"})
    for more in ((), ("--fresh",)):
        assert cli.refused("run", "lines.yaml", "--input", "in", "--output", "out", *more) == [
            "headrace: output out: holds files that are not headrace's: thesis.tex"
        ]


def test_broken_manifest_is_refused(cli: Cli) -> None:
    cli.run()
    manifest = next((cli.folder / "out/only/manifests").iterdir())
    manifest.write_text("{")
    status, _, err = cli("status", "out")
    assert status == 2
    assert err[0].startswith(f"headrace: out/only/manifests/{manifest.name}: not JSON")


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["run"], ["run", "web", "--workers", "two"], ["run", "web", "--runner", "slurm"], ["explain"]],
)
def test_what_is_no_command_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: headrace" in capsys.readouterr().err


def test_interrupted_run_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines.cli, "run", interrupted)
    assert cli.run() == (130, "", ["headrace: interrupted; the same command goes on where this one stopped"])


def test_options_of_the_line_reach_the_run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(plan: Any, output: str, runner: Any, options: Options) -> dict[str, Any]:
        seen.append(options)
        return {}

    seen: list[Options] = []
    monkeypatch.setattr(pipelines.cli, "run", run)
    words = ("--json", "--fresh", "--no-removed-text", "--workers", "2")
    cli("run", "lines.yaml", "--input", "in", "--output", "out", *words)
    cli("run", "lines.yaml", "--input", "in", "--output", "out", "--json")
    assert seen == [
        Options(fresh=True, max_dead=0.001, removed_text=False, quiet=True, complete=with_models),
        Options(fresh=False, max_dead=0.001, removed_text=True, quiet=True, complete=with_models),
    ]


def test_plan_prints_steps_stages_and_columns_and_starts_nothing(cli: Cli) -> None:
    before = cli.files()
    status, out, err = cli("plan", "twice.yaml", "--input", "in")
    assert (status, err, cli.files()) == (0, [], before)
    assert out.splitlines()[:3] == [
        "recipe twice: 2 files, 2 shards, 15 B",
        "step filter: reads ReadLines",
        "  worker of 1 CPU, 0 GPU, 2 GB: DropWith -> CrashOn -> ContentHash",
    ]
    assert "step dedup: reads filter\n  KeepFirst over all rows first\n" in out
    assert "    DropWith(word='spam')\n" in out


def test_plan_as_json(cli: Cli) -> None:
    _, out, _ = cli("plan", "lines.yaml", "--input", "in", "--json", "--sample", "1", "--workers", "2")
    found = json.loads(out)
    assert (found["recipe"], found["shards"], found["bytes"]) == ("lines", 2, 15)
    assert found["estimate"]["shards"] == 1


def test_status_report_explain_and_replay_of_a_run(cli: Cli) -> None:
    cli.run(recipe="twice.yaml")
    assert cli("status", "out")[1].splitlines()[0] == "out: done"
    assert json.loads(cli("status", "out", "--json")[1])["state"] == "done"
    assert json.loads(cli("replay", "out", "--json")[1])["steps"][0]["dead"] == 1
    assert cli("replay", "out")[1] == "filter: 1 dead rows replayed: 0 kept, 0 dropped, 1 dead again\n" + (
        "dedup: 0 dead rows replayed: 0 kept, 0 dropped, 0 dead again\n"
    )
    assert cli.refused("explain", "out", "nobody") == [
        "headrace: out: no row has the id 'nobody' (looked in data, removed and dead of filter, dedup)"
    ]


def test_recipes_and_stages_are_listed(cli: Cli) -> None:
    assert "web: " in cli("recipes")[1]
    status, out, _ = cli("stages", "ReadWarc")
    assert (status, out.splitlines()[0]) == (0, "stages.read_warc.ReadWarc")


def test_module_is_the_same_program(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "run", "wbe", "--input", "x", "--output", "y"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "headrace: no recipe 'wbe'; did you mean 'web'?\n"


def test_pipe_that_closes_early_is_no_error(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        f"{sys.executable} -m pipelines recipes | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stderr == ""


def test_failed_run_prints_run_json_too(cli: Cli) -> None:
    status, out, err = cli("run", "twice.yaml", "--input", "in", "--output", "out", "--max-dead", "0.1", "--json")
    assert status == 1
    assert json.loads(out.splitlines()[-1])["status"] == "failed"
    assert any("1 of 5 rows died" in line for line in err)


OVERTAKEN = """
name: overtaken
steps:
  - name: only
    source: tests.fakes.ReadLines
    stages: [{stage: tests.cluster.test_lease.Robbed, output: OUT}]
"""


def test_run_that_lost_its_output_prints_its_own_totals_and_why(cli: Cli) -> None:
    """run.json is not there, or is of the run that has the output now."""
    write(cli.folder, {"overtaken.yaml": OVERTAKEN.replace("OUT", str(cli.folder / "out"))})
    write(cli.folder / "in", {"a.txt": "one\n", "b.txt": "two\n"})
    status, out, err = cli.run("--json", recipe="overtaken.yaml")
    assert status == 1
    why = "this run has lost its lease on it, process 9 on den, since noon has it; it stops, nothing is lost"
    assert err[-1] == f"headrace: output file://{cli.folder}/out: {why}"
    told = json.loads(out.splitlines()[-1])
    assert (told["recipe"], told["status"], told["steps"][0]["rows_in"]) == ("overtaken", "failed", 1)
    assert not (cli.folder / "out/run.json").exists()


def test_totals_that_cannot_be_written_are_printed_with_why(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(folder: Folder, name: str, data: bytes) -> None:
        if name == "run.json":
            raise StoreError("cannot write run.json: No space left on device")
        real(folder, name, data)

    real = Folder.put
    monkeypatch.setattr(Folder, "put", put)
    status, out, err = cli.run("--json")
    assert (status, json.loads(out.splitlines()[-1])["status"]) == (1, "failed")
    assert err[-1] == "headrace: cannot write run.json: No space left on device"
    status, out, err = cli.run("--json", "--max-dead", "0.1", "--fresh", recipe="twice.yaml")
    assert (status, json.loads(out.splitlines()[-1])["recipe"]) == (1, "twice")
    assert any("1 of 5 rows died" in line for line in err)  # the first error is the one to tell
    assert not any("No space" in line for line in err)


def test_run_json_is_complete_before_the_lease_is_let_go(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(folder: Folder, result: dict[str, Any]) -> dict[str, Any]:
        held.append((folder.exists("run.json"), json.loads(folder.get(NAME))["pid"]))
        return result

    held: list[tuple[bool, int]] = []
    monkeypatch.setattr(pipelines.cli, "with_models", looks)
    assert cli.run()[0] == 0
    assert held == [(True, os.getpid())]
