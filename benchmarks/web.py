"""The whole recipe beside datatrove's chain: WARC to Parquet, one core each, CPU time of every process they start.

    python benchmarks/web.py [--input WARC] [--repeat 2] [--lists headrace|datatrove] [--timeout 5] [--keep FOLDER]

One JSON line. The sides are web_datatrove.py, and web_headrace.py with two extraction engines; each run is a fresh
interpreter, in turns; the least of the repetitions counts. Start-up is what the same run costs on an archive of one
page that all sides keep, so that a page's share is told with and without it. Both sides mask e-mail and IP addresses;
ours also drops exact duplicates. Neither has MinHash (benchmarks/minhash.py). Both filter addresses by the same lists:
our small ones, or those that come with datatrove (4.6 million domains, loaded anew in every run). datatrove's reader
wants warcio and python-magic, which are in the extra `bench`, and the library libmagic.

Bounds: a tenth of datatrove's CPU a page with the engine headrace, 1 / 2.5 with trafilatura, start-up left out.
The table of differences between the pages that the sides keep goes to stderr.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from archive import member, records_of
from datatrove.utils._import_utils import ASSETS_PATH
from record import record
from web_fates import Fate, Judge, compare, our_fates, their_fates

from stages.url_filter import DEFAULTS, LISTS

PAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "pages-dev.warc.gz"
ENGINES = ("trafilatura", "headrace")
SIDES = ("datatrove", *ENGINES)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
WARM_UP_RECORDS = 40  # enough to meet every kernel
PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """Of one run, of all its processes. Unit: seconds. `stages`: by stage, as the side tells it."""

    cpu: float
    wall: float
    stages: dict[str, float]


def children_cpu() -> float:
    """CPU seconds of all processes that this one has reaped so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(side: str, warc: Path, output: Path, arguments: argparse.Namespace) -> Cost:
    """One run of a side. Processes that it leaves behind are waited for as well."""
    command = [sys.executable, str(Path(__file__).with_name("web_headrace.py")), side, str(warc), str(output)]
    if side == "datatrove":
        command[1:3] = [str(Path(__file__).with_name("web_datatrove.py"))]
        command += ["--timeout", str(arguments.timeout)]
    if lists := arguments.folders[side]:
        command += ["--lists", str(lists)]
    cpu, wall = children_cpu(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD})
    wall = time.perf_counter() - wall
    if done.returncode:
        sys.exit(f"web.py: {side} ended with status {done.returncode}: {done.stderr[-2000:]}")
    while True:  # orphans come to this process (PR_SET_CHILD_SUBREAPER)
        try:
            os.wait()
        except ChildProcessError:
            break
    return Cost(children_cpu() - cpu, wall, json.loads((output / "stages.json").read_text()))


def list_folders(which: str, folder: Path) -> dict[str, Path | None]:
    """The folder of block lists for each side; None where the side has these lists of its own."""
    if which == "headrace":
        return {"datatrove": DEFAULTS, "trafilatura": None, "headrace": None}
    folder.mkdir()
    with tarfile.open(Path(ASSETS_PATH) / "url_filterblacklistsv0_3_0.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    theirs = ("domains", "urls", "banned_words.txt", "soft_banned_words.txt", "banned_subwords.txt")
    for name, file in zip(LISTS, theirs, strict=True):
        path = folder / file if (folder / file).exists() else Path(ASSETS_PATH) / file
        (folder / f"{name}.txt").symlink_to(path)
    return {"datatrove": None, "trafilatura": folder, "headrace": folder}


def figures(runs: list[Cost], starts: list[Cost], pages: int) -> dict[str, Any]:
    """What a side costs. Milliseconds a page with its start-up apart and, `with_startup`, included."""
    best, start = min(runs, key=lambda c: c.cpu), min(c.cpu for c in starts)
    return {
        "cpu_s": round(best.cpu, 2),
        "wall_s": round(best.wall, 2),
        "startup_cpu_s": round(start, 2),
        "ms_a_page": round((best.cpu - start) / (pages - 1) * 1e3, 3),
        "ms_a_page_with_startup": round(best.cpu / pages * 1e3, 3),
        "stage_ms_a_page": {name: round(seconds / pages * 1e3, 3) for name, seconds in best.stages.items()},
    }


def run_all(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every side over the whole archive and over one page, and what became of the pages."""
    warc, records = arguments.input, records_of(arguments.input)
    arguments.folders = list_folders(arguments.lists, folder / "lists")
    few = folder / "few.warc.gz"
    few.write_bytes(warc.read_bytes()[: records[min(WARM_UP_RECORDS, len(records)) - 1].stop])
    runs: dict[str, list[Cost]] = {side: [] for side in SIDES}
    starts: dict[str, list[Cost]] = {side: [] for side in SIDES}
    for side in SIDES:  # not counted: fills numba's cache and unpacks lists
        measure(side, few, folder / f"{side}-few", arguments)
    for i in range(arguments.repeat):
        for side in SIDES:
            runs[side].append(measure(side, warc, folder / f"{side}-{i}", arguments))
    fates: dict[str, dict[str, Fate]] = {"datatrove": their_fates(folder / "datatrove-0", records)}
    fates |= {side: our_fates(folder / f"{side}-0", records) for side in ENGINES}
    kept = [page for page in records if all(fates[side][page.id].stage is None for side in SIDES)]
    one = folder / "one.warc.gz"
    one.write_bytes(member(warc, kept[0]))
    for i in range(max(2, arguments.repeat)):
        for side in SIDES:
            starts[side].append(measure(side, one, folder / f"{side}-one-{i}", arguments))
    told = {side: figures(runs[side], starts[side], len(records)) for side in SIDES}
    theirs = told["datatrove"]
    theirs["kept"] = sum(fate.stage is None for fate in fates["datatrove"].values())
    for side in ENGINES:
        ours = told[side]
        totals = json.loads((folder / f"{side}-0" / "run.json").read_text())["steps"]
        ours["kept"], ours["kept_after_dedup"] = totals[0]["out"], totals[-1]["out"]
        for name in ("ms_a_page", "ms_a_page_with_startup"):
            ours[name.replace("ms_a_page", "times_faster")] = round(theirs[name] / ours[name], 2)
        ours["against_datatrove"] = compare(warc, fates[side], fates["datatrove"], Judge(warc, side))
    return {"pages": len(records), "sides": told}


def show(result: dict[str, Any]) -> None:
    """The tables, to stderr."""
    for side, told in result["sides"].items():
        print(
            f"{side}: {told['ms_a_page']:.2f} ms of CPU a page ({told['ms_a_page_with_startup']:.2f} with the "
            f"{told['startup_cpu_s']:.1f} s of start-up), {told['kept']} of {result['pages']} pages kept",
            file=sys.stderr,
        )
        for stage, ms in sorted(told["stage_ms_a_page"].items(), key=lambda item: -item[1]):
            print(f"    {ms:8.3f} ms  {stage}", file=sys.stderr)
        if "against_datatrove" not in told:
            continue
        against = told["against_datatrove"]
        print(
            f"    {told['times_faster']:.1f} x datatrove's speed; kept by both {against['both_keep']}, only by "
            f"headrace {against['only_headrace']}, only by datatrove {against['only_datatrove']}",
            file=sys.stderr,
        )
        for fate in against["fates"]:
            who = "only datatrove keeps" if fate["datatrove"] == "kept" else "only headrace keeps"
            other = fate["headrace"] if fate["datatrove"] == "kept" else fate["datatrove"]
            print(f"    {fate['pages']:5} {who}: {fate['cause']}; the other: {other}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=PAGES, help="a WARC with one gzip member a record")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--lists", choices=("headrace", "datatrove"), default="headrace")
    parser.add_argument("--timeout", type=float, default=5.0, help="datatrove's limit for a page, wall seconds")
    parser.add_argument("--keep", type=Path, help="a new folder for what the runs write, which then stays")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and so all that is started from here
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):  # both sides go on where an earlier run stopped
            sys.exit(f"web.py: {folder} is not empty; give --keep a new folder")
        os.environ["HF_ASSETS_CACHE"] = str(Path(temporary) / "assets")  # where datatrove unpacks its lists
        result = run_all(arguments, folder)
    show(result)
    record("web", {"warc": arguments.input.name, "lists": arguments.lists, "repeat": arguments.repeat, **result})


if __name__ == "__main__":
    main()
