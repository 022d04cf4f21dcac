"""The web recipe over pages made to break it: each is accounted for, in bounded time and memory.

Small pages by default, and the recipe with one engine; with HEADRACE_HOSTILE=19000000 pages of as many bytes, about the
longest that ReadWarc takes, and the recipe with each.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.extract_text import ExtractText
from stages.read_warc import ReadWarc
from stages.stage import Piece
from tests.pipelines.hostile_pages import HTML, PAGES, address, prose, response
from tests.stages.archives import gz, read_pieces

SIZE = int(os.environ.get("HEADRACE_HOSTILE", "20000"))
OTHERS = ["resiliparse", "trafilatura"]
ENGINES = ["headrace", *OTHERS] if "HEADRACE_HOSTILE" in os.environ else ["headrace"]
PAGE_SECONDS = 5.0  # ExtractText.seconds
SECONDS = 60 + len(PAGES) * (PAGE_SECONDS + SIZE / 1e6)  # of CPU time: compiling, then every page's limit and reading
MEGABYTES = 2000
# A process begins with the peak of the one that started it, and these tests may be large by then: a small one between.
WAIT = """
import resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
status = subprocess.call(sys.argv[2:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""
UNSCREENED = [f"--set=Screen.{name}=null" for name in ("language_bound", "min_words", "min_stop_words")]
# What becomes of pages that are not text at all, whatever extracts it.
EXPECTED = {
    "no_body": "ReadWarc.empty_body",
    "all_nul": "ReadWarc.empty_body",
    "no_text": "ExtractText.empty",
    "gzip_bomb": "ReadWarc.too_large",
}


def run_web(folder: Path, archive: bytes, *arguments: str) -> dict[str, Any]:
    """`headrace run web` in a process that is killed over `SECONDS` of CPU time; its totals and largest process."""
    (folder / "in.warc.gz").write_bytes(archive)
    command = [sys.executable, "-m", "pipelines", "run", "web", "--input", str(folder / "in.warc.gz"), "--json"]
    command += ["--output", str(folder / "out"), "--max-dead", "1", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(int(SECONDS)), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, log = process.communicate()
    assert process.returncode == 0, log
    assert int(log.splitlines()[-1]) / 1024 < MEGABYTES
    return dict(json.loads(out.splitlines()[-1]))


def outcomes(output: Path) -> dict[str, str]:
    """What became of every row of the step `filter`, by address: kept, dead, or the stage and reason of its drop."""
    found = {}
    for place in ("data", "removed", "dead"):
        for file in sorted((output / "filter" / place).glob("[!.]*.parquet")):
            for row in pq.read_table(file).to_pylist():
                assert row["url"] not in found, row["url"]
                reason = f"{row['drop_stage']}.{row['drop_reason']}" if place == "removed" else place
                found[row["url"]] = {"data": "kept"}.get(reason, reason)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_every_hostile_page_is_accounted_for(tmp_path: Path, engine: str) -> None:
    archive = gz(*(response(make(SIZE), address(make.__name__)) for make in PAGES))
    sets = [f"--set=ExtractText.engine={engine}", f"--set=ReadWarc.max_bytes={min(20 * SIZE, 20_000_000)}"]
    result = run_web(tmp_path, archive, *sets, *UNSCREENED)
    step = result["steps"][0]
    assert step["rows_in"] == step["out"] + sum(step["dropped"].values()) + step["dead"] == len(PAGES)
    found = outcomes(tmp_path / "out")
    assert sorted(found) == sorted(address(make.__name__) for make in PAGES)
    assert {name: found[address(name)] for name in EXPECTED} == EXPECTED
    assert found[address("prose")] == ("kept" if SIZE < 300_000 else "GopherQuality.gopher_long_doc")


@pytest.mark.parametrize("engine", OTHERS)
def test_other_engines_answer_for_every_hostile_page(engine: str) -> None:
    """One process for all pages; small ones whatever the size of the others."""
    archive = gz(*(response(make(min(SIZE, 20_000)), address(make.__name__)) for make in PAGES))
    rows, _ = read_pieces(archive, [Piece("in.warc.gz")], ReadWarc(max_bytes=400_000))
    made = {row["url"]: row["html"] for row in rows if row["html"]}
    table = ExtractText(engine=engine).open()(pa.table({"html": pa.array(made.values(), pa.large_binary())}))
    texts = dict(zip(made, table.column("text").to_pylist(), strict=True))
    reasons = dict(zip(made, table.column("drop_reason").to_pylist(), strict=True))
    assert table.column("error").null_count == len(made) == len(PAGES) - 3
    assert set(reasons.values()) <= {None, "empty", "timeout", "memory_limit"}
    assert all(texts[name] or reasons[name] for name in made)
    assert reasons[address("no_text")] == "empty"
    assert reasons[address("prose")] is None
    assert texts[address("prose")].count(".") > 150


@pytest.mark.slow
def test_screened_as_by_default(tmp_path: Path) -> None:
    """A WARC header above 4 MB is no record; what follows it is read. Of an HTTP header the first 256 KB count."""
    sound = [response(prose(3000), address(f"sound-{number}")) for number in range(12)]  # FastWARC reads behind eight
    long, endless = (response(prose(3000), address("long") + "x" * n) for n in (1_000_000, 5_000_000))
    fields = b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(700_000))
    header = response((HTML + fields, prose(3000)[1]), address("header"))
    hostile = (response(make(SIZE), address(make.__name__)) for make in PAGES)
    archive = gz(endless, header, *sound[:11], endless, long, sound[11], *hostile)
    result = run_web(tmp_path, archive, "--set=ExtractText.engine=headrace")
    assert result["steps"][0]["unreadable"] == 2
    found = outcomes(tmp_path / "out")
    whole = [address(name) for name in ("header", *(f"sound-{number}" for number in range(12)))]
    whole.append(address("long") + "x" * 1_000_000)
    assert sorted(found) == sorted([*whole, *(address(make.__name__) for make in PAGES)])
    assert {url: found[url] for url in whole} == dict.fromkeys(whole, "kept")
    assert found[address("prose")] == ("kept" if SIZE < 300_000 else "GopherQuality.gopher_long_doc")
