"""Outputs of other versions: what an older one left is gone on with, what cannot be is refused with the way out."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster import VERSION
from cluster.commit import read_manifests
from cluster.errors import ConfigError
from cluster.layout import check_step
from cluster.plan import Plan
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.status import status
from tests.fakes import DropWith, Upper
from tests.runs import one_step, plan_over, run_local, texts, write

# As the first headrace with this layout wrote them: nothing yet of execution, ledger, index or removed text.
STEP: dict[str, Any] = {
    "version": 1,
    "recipe": "lines",
    "step": "only",
    "upstream": None,
    "fingerprint": "FINGERPRINT",
    "identity": {
        "layout": 1,
        "source": {"stage": "tests.fakes.ReadLines", "version": 1, "settings": {"table_rows": 4}},
        "from": "FROM",
        "shuffle": None,
        "stages": [
            {"stage": "tests.fakes.DropWith", "version": 1, "settings": {"word": "spam"}},
            {"stage": "tests.fakes.Upper", "version": 1, "settings": {}},
        ],
    },
    "stages": ["DropWith", "Upper"],
    "schema": {"id": "string", "source": "string", "text": "large_string", "drop_reason": "string"},
    "versions": {"headrace": "0.1.0", "python": "3.11.4"},
    "inputs": [],
}
MANIFEST: dict[str, Any] = {
    "step": "only", "shard": "SHARD", "fingerprint": "FINGERPRINT",
    "source": {"uri": "URI", "start": 0, "stop": None, "size": 7, "etag": "1.0"},
    "files": [{"path": "data/SHARD.parquet", "rows": 1, "bytes": 900},
              {"path": "removed/SHARD.parquet", "rows": 1, "bytes": 1100}],
    "counts": {"rows_in": 2, "emitted": 0, "out": 1, "dropped": {"DropWith.spam": 1}, "dead": 0, "unreadable": 0},
    "unreadable": [],
    "stages": {"DropWith": {"rows_in": 2, "rows_out": 1, "seconds": 0.1, "cpu_seconds": 0.1},
               "Upper": {"rows_in": 1, "rows_out": 1, "seconds": 0.1, "cpu_seconds": 0.1}},
    "seconds": 0.2, "cpu_seconds": 0.2, "version": 1,
}  # fmt: skip


def fingerprint(value: Any) -> str:
    """Of the first release, written anew."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    source = write(tmp_path / "in", {"a.txt": "a\nspam\n", "b.txt": "b\n"})
    return plan_over(one_step(DropWith("spam"), Upper()), source)


@pytest.fixture
def out(tmp_path: Path, plan: Plan) -> Path:
    """The output of an older headrace that was killed behind its first shard."""
    inputs = [(file.uri, file.size, file.etag) for file in plan.inputs]
    step, manifest = copy.deepcopy(STEP), copy.deepcopy(MANIFEST)
    step["identity"]["from"] = fingerprint(sorted(inputs))
    step["fingerprint"] = fingerprint(step["identity"])
    step["inputs"] = [{"uri": uri, "size": size, "etag": etag} for uri, size, etag in inputs]
    text = json.dumps({**manifest, "fingerprint": step["fingerprint"]}).replace("SHARD", plan.shards[0].name)
    out = tmp_path / "out"
    write(out, {"only/step.json": json.dumps(step), f"only/manifests/{plan.shards[0].name}.json": text})
    for part in ("data", "removed"):
        (out / "only" / part).mkdir()
        old = pa.table({"id": ["old"], "text": pa.array(["OLD"], pa.large_string())})
        pq.write_table(old, out / "only" / part / f"{plan.shards[0].name}.parquet")
    return out


def rewrite(file: Path, **values: Any) -> None:
    found = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def test_older_output_is_gone_on_with(plan: Plan, out: Path) -> None:
    result = run_local(plan, out)
    assert {name: result["steps"][0][name] for name in ("shards", "rows_in", "out", "dropped")} == {
        "shards": 2, "rows_in": 3, "out": 2, "dropped": {"DropWith.spam": 1},
    }  # fmt: skip
    assert texts(out / "only/data") == ["OLD", "B"]  # its shard was not done again
    assert status(str(out))["steps"][0]["shards_done"] == 2


def test_what_differs_in_an_older_output_is_named(plan: Plan, out: Path, tmp_path: Path) -> None:
    other = plan_over(one_step(DropWith("ham"), Upper()), tmp_path / "in")
    with pytest.raises(ConfigError, match=r"--redo only to do it all again.*\n  DropWith.word was 'spam', is 'ham'"):
        run_local(other, out)


def test_newer_layout_is_refused_with_the_version_that_reads_it(plan: Plan, out: Path) -> None:
    rewrite(out / "only/step.json", version=2, versions={"headrace": "3.2.1"}, identity=None, fingerprint=None)
    expected = [
        f"file://{out}/only/step.json: of version 2, made by headrace 3.2.1; this is headrace {VERSION}, which reads "
        "versions up to 1",
        "  go on with headrace 3.2.1 or later, or give another --output, or --fresh to start over",
    ]
    for work in (lambda: run_local(plan, out), lambda: run_local(plan, out, redo=("only",)), lambda: status(str(out))):
        with pytest.raises(ConfigError) as caught:
            work()
        assert str(caught.value).replace("file://", "").splitlines() == [
            line.replace("file://", "") for line in expected
        ]
    run_local(plan, out, fresh=True)
    assert texts(out / "only/data") == ["A", "B"]


def test_layout_that_is_too_old_is_refused_with_the_version_that_ends_it() -> None:
    with pytest.raises(ConfigError) as caught:
        check_step({**STEP, "version": 0, "versions": {"headrace": "0.0.9"}}, "there")
    assert str(caught.value).splitlines() == [
        f"there: of version 0, made by headrace 0.0.9; this is headrace {VERSION}, which reads versions from 1 on",
        "  end it with headrace 0.0.9, take its Parquet as the --input of another run, or --fresh to start over",
    ]
    with pytest.raises(ConfigError, match=r"of version None; (.|\n)* end it with the headrace that made it, "):
        check_step({**STEP, "version": None, "versions": None}, "there")


def test_step_json_that_has_lost_something_is_refused() -> None:
    check_step(STEP, "there")
    with pytest.raises(ConfigError, match=r"^there: fingerprint, identity is not in it$"):
        check_step({n: v for n, v in STEP.items() if n not in ("identity", "fingerprint")}, "there")


def test_newer_manifest_is_refused_by_all_that_read_it(
    plan: Plan, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest,) = (out / "only/manifests").iterdir()
    rewrite(manifest, version=2, weather="fine")
    with pytest.raises(ConfigError) as caught:
        read_manifests(Folder(str(out / "only")))
    assert str(caught.value).splitlines() == [
        f"{manifest}: of version 2; this is headrace {VERSION}, which reads versions up to 1",
        "  go on with the headrace that step.json names, or a later one, or give another --output, or --fresh to "
        "start over",
    ]
    for command in ("status", "report", "replay"):
        assert main([command, str(out)]) == 2, command
        assert "of version 2; this is headrace" in capsys.readouterr().err
    assert not (out / "report.html").exists()
    with pytest.raises(ConfigError, match="of version 2; this is headrace"):
        run_local(plan, out)


def test_redo_on_the_command_line(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path, {"lines.yaml": "name: lines\nsteps:\n  - {name: only, source: tests.fakes.ReadLines, stages: []}\n"}
    )
    words = ["run", str(tmp_path / "lines.yaml"), "--input", str(tmp_path / "in"), "--output", str(out)]
    assert main(words) == 2
    assert "--redo only to do it all again" in capsys.readouterr().err
    assert main([*words, "--redo", "only", "--fresh"]) == 2
    assert "--fresh starts over with all steps, --redo with some: give one of the two" in capsys.readouterr().err
    write(tmp_path, {"run.yaml": "redo: only\n"})
    assert main([*words, "--config", str(tmp_path / "run.yaml")]) == 0
    assert texts(out / "only/data") == ["a", "spam", "b"]
    assert main(words) == 0
