"""Stages that ask models, on both runners: their ledger, several tables at a time, engines that break."""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cluster.errors import ConfigError, RunError, ShardError
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from pipelines.estimate import estimate
from pipelines.replay import replay
from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from tests.cluster.test_conformance import make_runner
from tests.fakes import Asks, Breaks, ReadLines, Upper
from tests.runs import one_step, plan_over, rows, run_local, texts, write
from tests.stages.models.misbehaving import Script, Server

FILES = {f"{name}.txt": "".join(f"{name} {i}\n" for i in range(20)) for name in "abc"}
LINES = [f"{name.upper()} {i}" for name in "abc" for i in range(20)]


@pytest.fixture
def server() -> Any:
    with Server() as running:
        yield running


def go(tmp_path: Path, runner_name: str, *stages: Any, **options: Any) -> dict[str, Any]:
    files = options.pop("files", FILES)
    folder = str(tmp_path / "in") if (tmp_path / "in").exists() else write(tmp_path / "in", files)
    plan = plan_over(one_step(*stages), folder)
    output = str(tmp_path / options.pop("output", "out"))
    return run(plan, output, make_runner(runner_name), Options(**{"quiet": True, **options}))


def asked(server: Server) -> int:
    return sum(count.asked for count in server.counts().values())


@pytest.mark.parametrize("options", [{"tables": 3}, {"gpus": 1.0, "tables": 2}], ids=["tables", "gpu"])
def test_every_prompt_is_asked_once_and_never_again(
    tmp_path: Path, runner_name: str, server: Server, options: dict[str, Any]
) -> None:
    stages = Asks(server.engine(concurrency=4, **options)), Upper()
    go(tmp_path, runner_name, *stages)
    assert texts(tmp_path / "out/only/data") == LINES
    assert asked(server) == 60
    assert {row["answers"][0]["from_ledger"] for row in rows(tmp_path / "out/only/data")} == {0}
    go(tmp_path, runner_name, *stages, fresh=True)  # the ledger stays
    assert asked(server) == 60
    assert texts(tmp_path / "out/only/data") == LINES
    assert {row["answers"][0]["from_ledger"] for row in rows(tmp_path / "out/only/data")} == {1}
    assert list((tmp_path / "out/ledger/pieces").glob("*")) == []


def test_runs_share_a_ledger_that_is_named(tmp_path: Path, server: Server) -> None:
    ledger = str(tmp_path / "answers")
    go(tmp_path, "local", Asks(server.engine()), output="one", ledger=ledger)
    go(tmp_path, "local", Asks(server.engine(timeout=9)), output="two", ledger=ledger)
    assert asked(server) == 60
    assert not (tmp_path / "one/ledger").exists()
    assert not (tmp_path / "two/ledger").exists()


def test_sample_of_a_plan_pays_for_the_run(tmp_path: Path, server: Server) -> None:
    plan = plan_over(one_step(Asks(server.engine())), write(tmp_path / "in", FILES))
    estimate(plan, sample=1, workers=1, ledger=str(tmp_path / "answers"))
    assert asked(server) == 20
    run_local(plan, tmp_path / "out", ledger=str(tmp_path / "answers"))
    assert asked(server) == 60


def test_step_json_says_how_it_was_carried_out(tmp_path: Path, server: Server) -> None:
    go(tmp_path, "local", Upper(), Asks(server.engine()), Asks(server.engine(tables=2)))
    step = json.loads((tmp_path / "out/only/step.json").read_text())
    assert step["execution"] == {
        "Upper": {},
        "Asks": {"engine": server.engine()},
        "Asks (2)": {"engine": server.engine(tables=2)},
    }
    assert step["ledger"] == f"file://{tmp_path}/out/ledger"
    assert "engine" not in step["identity"]["stages"][1]["settings"]


def test_another_engine_goes_on_with_the_same_run(tmp_path: Path, server: Server) -> None:
    go(tmp_path, "local", Asks(server.engine()))
    go(tmp_path, "local", Asks(server.engine(tables=2)))  # not refused
    assert asked(server) == 60


def test_step_that_is_named_like_the_ledger_is_refused(tmp_path: Path) -> None:
    recipe = Recipe("lines", (Step("ledger", ReadLines(), (Upper(),)),))
    with pytest.raises(ConfigError, match="a step cannot be named 'ledger'"):
        run_local(plan_over(recipe, write(tmp_path / "in", FILES)), tmp_path / "out")


def test_ledger_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to .*/file/ledger"):
        go(tmp_path, "local", Upper(), ledger=str(tmp_path / "file/ledger"))
    assert not (tmp_path / "out/only").exists()


def test_replay_asks_the_engine_that_the_run_had(tmp_path: Path) -> None:
    with Server(Script(acts={"b 7": ("400", "ok")})) as server:
        go(tmp_path, "local", Asks(server.engine()), max_dead=0.1)
        assert [row["text"] for row in rows(tmp_path / "out/only/dead")] == ["b 7"]
        assert replay(str(tmp_path / "out"))["steps"][0]["kept"] == 1
        assert sorted(texts(tmp_path / "out/only/data")) == sorted(LINES)
        assert asked(server) == 61


@dataclass(frozen=True)
class Meets:
    """Waits until `tables` tables are in it at one time, in one process; each table has a partner."""

    tables: int
    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5, tables=self.tables)

    def open(self) -> Transform:
        barrier = threading.Barrier(self.tables)

        def apply(table: pa.Table) -> pa.Table:
            barrier.wait(60)
            return table

        return apply


@dataclass(frozen=True)
class Single:
    """Raises when two tables are in it at one time."""

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        inside = threading.Lock()

        def apply(table: pa.Table) -> pa.Table:
            if not inside.acquire(blocking=False):
                raise RuntimeError("two tables at one time")
            try:
                sum(i * i for i in range(20_000))  # threads take turns within this
                return table
            finally:
                inside.release()

        return apply


@pytest.mark.parametrize("gpus", [0.0, 1.0])
def test_worker_has_as_many_tables_at_a_time_as_the_stage_says(tmp_path: Path, runner_name: str, gpus: float) -> None:
    if runner_name == "local" and gpus:
        pytest.skip("the local runner has no groups")
    files = {"a.txt": "".join(f"a {i}\n" for i in range(64))}  # 16 tables of one file: one worker on Ray
    result = go(tmp_path, runner_name, Single(), Meets(2, gpus), Single(), files=files)
    assert texts(tmp_path / "out/only/data") == [f"a {i}" for i in range(64)]
    assert result["steps"][0]["dead"] == 0


def test_engine_that_breaks_here_fails_the_run_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"WorkerBrokenError: the device is dead of 'b 7'"):
        go(tmp_path, "local", Breaks("b 7"))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("gpus", "tables"), [(0.0, 1), (1.0, 2)])
def test_engine_that_breaks_once_leaves_no_trace_on_ray(
    tmp_path: Path, gpus: float, tables: int, capfd: pytest.CaptureFixture[str]
) -> None:
    result = go(tmp_path, "ray", Breaks("b 7", str(tmp_path / "once"), gpus, tables), Upper())
    assert texts(tmp_path / "out/only/data") == LINES
    assert result["steps"][0]["dead"] == 0
    assert "worker died: WorkerBrokenError: the device is dead of 'b 7'" in capfd.readouterr().err


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("gpus", "tables"), [(0.0, 2), (1.0, 2)])
def test_prompt_that_breaks_every_engine_is_found_and_dies_alone(tmp_path: Path, gpus: float, tables: int) -> None:
    result = go(tmp_path, "ray", Breaks("b 7", gpus=gpus, tables=tables), Upper(), max_dead=0.1)
    assert texts(tmp_path / "out/only/data") == [line for line in LINES if line != "B 7"]
    assert result["steps"][0]["dead"] == 1
    (dead,) = rows(tmp_path / "out/only/dead")
    assert (dead["text"], dead["stage"]) == ("b 7", "Breaks")
    assert dead["error"] == "worker died: WorkerBrokenError: the device is dead of 'b 7'"


@dataclass(frozen=True)
class Gate:
    """A source that hands out its second table only once something has been written into the pipe `pipe`."""

    pipe: str
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)
    lines: ClassVar[ReadLines] = ReadLines(table_rows=2)

    def split(self, file: Any, uri: str, size: int) -> Any:
        return self.lines.split(file, uri, size)

    def schema(self, file: Any, uri: str) -> pa.Schema:
        return self.lines.schema(file, uri)

    def open(self) -> Any:
        def read(file: Any, piece: Any) -> Any:
            for number, table in enumerate(self.lines.open()(file, piece)):
                if number == 1:
                    Path(self.pipe).read_bytes()  # until someone has written, and closed it
                yield table

        return read


@dataclass(frozen=True)
class Opens:
    """On a GPU; notes the process that opened it, and writes into `pipe` with its first table."""

    log: str
    pipe: str = ""
    gpus: float = 0.25
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(cpus=0.5, gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()}\n")

        def apply(table: pa.Table) -> pa.Table:
            if self.pipe and "first" in table.column("text").to_pylist():
                Path(self.pipe).write_bytes(b"go on")
            return table

        return apply


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_gpu_stages_work_while_tables_are_still_read(tmp_path: Path) -> None:
    """Were the GPU stage to wait for the reader's end, neither would ever go on."""
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    write(tmp_path / "in", {"a.txt": "first\nsecond\nthird\n"})
    recipe = Recipe("lines", (Step("only", Gate(pipe), (Upper_(), Opens(str(tmp_path / "log"), pipe))),))
    # The plan reads the first table alone, so the gate stays shut.
    result = run(plan_over(recipe, tmp_path / "in"), str(tmp_path / "out"), make_runner("ray"), Options(quiet=True))
    assert result["steps"][0]["out"] == 3


@dataclass(frozen=True)
class Upper_(Upper):  # noqa: N801
    """Leaves the text, so that the stage behind it knows the first."""

    def open(self) -> Transform:
        return lambda table: table


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_each_worker_opens_its_models_once_and_stays(tmp_path: Path) -> None:
    log = [tmp_path / name for name in ("rate", "refine")]
    stages = Opens(str(log[0]), gpus=0.25), Upper(), Opens(str(log[1]), gpus=0.75)
    assert len(plan_over(one_step(*stages), write(tmp_path / "in", FILES)).steps[0].groups) == 4
    go(tmp_path, "ray", *stages)
    assert texts(tmp_path / "out/only/data") == LINES
    for file in log:
        opened = file.read_text().split()
        assert len(opened) == len(set(opened)), "a worker opened its stage twice"
        assert len(opened) <= 3


def test_half_an_object_in_the_ledger_ends_the_run(tmp_path: Path, runner_name: str, server: Server) -> None:
    ledger = tmp_path / "answers"
    go(tmp_path, "local", Asks(server.engine()), ledger=str(ledger))
    half = next(ledger.glob("*.parquet"))
    half.write_bytes(half.read_bytes()[:100])
    with pytest.raises(RunError, match=rf"{half.name} cannot be read"):
        go(tmp_path, runner_name, Asks(server.engine()), output="again", ledger=str(ledger))
    assert asked(server) == 60
