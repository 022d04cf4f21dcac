"""A run on S3: a real server over HTTP on loopback, credentials and endpoint by the usual AWS variables."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster import storage
from cluster.errors import ConfigError
from cluster.ledger import UNWRITTEN, Ledger
from cluster.plan import make_plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from cluster.shards import list_inputs
from cluster.storage import Folder
from tests.cluster.conftest import BUCKET
from tests.cluster.test_conformance import make_runner
from tests.fakes import DropWith, ReadLines, Upper


def keys(client: Any) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_file_is_visible_only_when_whole(s3: Any) -> None:
    folder = Folder(f"s3://{BUCKET}/out")
    with pytest.raises(RuntimeError, match="in the middle"), folder.writing("big.bin") as file:
        file.write(b"x" * (20 << 20))  # the first part is on the server by now
        assert keys(s3) == []
        raise RuntimeError("in the middle")
    assert keys(s3) == []
    with folder.writing("big.bin") as file:
        file.write(b"x" * (20 << 20))
    assert keys(s3) == ["out/big.bin"]
    assert folder.size("big.bin") == 20 << 20


def test_small_files_list_read_delete(s3: Any) -> None:
    folder = Folder(f"s3://{BUCKET}/out")
    assert folder.names("manifests", ".json") == []
    folder.put("manifests/b.json", b"{}")
    folder.put("manifests/a.json", b"[]")
    assert folder.names("manifests", ".json") == ["manifests/a.json", "manifests/b.json"]
    assert folder.get_many(["manifests/a.json", "manifests/b.json"]) == {
        "manifests/a.json": b"[]",
        "manifests/b.json": b"{}",
    }
    folder.delete("manifests/a.json", "manifests/not-there.json")
    assert keys(s3) == ["out/manifests/b.json"]
    folder.clear()
    assert keys(s3) == []


def test_run_from_and_to_s3_is_the_run_on_disk(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/a.txt", Body=b"one\nspam\n!bad\n")
    s3.put_object(Bucket=BUCKET, Key="in/b.txt", Body=b"two\n")
    recipe = Recipe("lines", (Step("only", ReadLines(), (DropWith("spam"), Upper())),))
    plan = make_plan(recipe, list_inputs([f"s3://{BUCKET}/in"]))
    outputs = [f"s3://{BUCKET}/out", str(tmp_path / "out")]
    results = [run(plan, output, make_runner("local"), Options(quiet=True)) for output in outputs]
    tables = []
    for output in outputs:
        folder = Folder(output).below("only")
        tables.append([pq.read_table(folder.open(name)) for name in folder.names("data")])
    assert tables[0] == tables[1]
    assert [t.column("text").to_pylist() for t in tables[0]] == [["ONE"], ["TWO"]]
    assert results[0]["steps"][0]["dropped"] == {"DropWith.spam": 1}
    assert json.loads(Folder(outputs[0]).get("run.json"))["status"] == "done"


def test_bucket_that_is_not_there_is_said_before_anything_starts(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    recipe = Recipe("lines", (Step("only", ReadLines(), (Upper(),)),))
    plan = make_plan(recipe, list_inputs([str(tmp_path / "a.txt")]))
    with pytest.raises(ConfigError, match=r"s3://no-such-bucket/out.*[Bb]ucket"):
        run(plan, "s3://no-such-bucket/out", make_runner("local"), Options(quiet=True))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_PROFILE", "no-such-profile", r"input s3://water/in.*no-such-profile"),
        ("AWS_SHARED_CREDENTIALS_FILE", "broken", r"input s3://water/in.*broken"),
    ],
)
def test_unreadable_credentials_are_said_before_anything_starts(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, message: str
) -> None:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "broken").write_text("[default\naws_access_key_id")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv(variable, value)
    storage._filesystem.cache_clear()
    with pytest.raises(ConfigError, match=message):
        list_inputs([f"s3://{BUCKET}/in"])
    storage._filesystem.cache_clear()


def test_ledger_leaves_one_object_a_batch_on_s3(s3: Any) -> None:
    book = Ledger(f"s3://{BUCKET}/answers", "rate")
    answers = {bytes([n]) * 16: b"answer %d" % n for n in range(UNWRITTEN + 40)}
    for key, answer in answers.items():
        book.add(key, answer)
    other = Ledger(f"s3://{BUCKET}/answers", "rate")  # before the batch has ended
    assert len(other.find(list(answers))) >= 40
    book.flush()
    assert [key.rpartition("/")[0] for key in keys(s3)] == ["answers"]
    assert other.find(list(answers)).items() <= answers.items()
    assert Ledger(f"s3://{BUCKET}/answers", "refine").find(list(answers)) == answers
