"""Fuzzy dedup from text to kept rows, Parquet to Parquet: speed beside datatrove, growth, memory, and truth.

    python benchmarks/dedup.py [--documents 20000] [--repeat 2] [--sizes 50000 500000] [--peers FOLDER] [--parts ...]

One JSON line; with --parts, the other parts are told as they were measured last. Documents with known duplicates by
near_documents.py; all sides with shingles of 5 words and 14 bands of 8. Each run is a process of its own on one core
(but the one on Ray), in turns; CPU seconds of all processes it starts, the least of the repetitions; start-up is what
the same run costs on 200 documents.

speed    recipe `dedup`, unverified and verified at 0.7, and datatrove's four stages, over the same files; the clusters
         of both compared, once more with datatrove's own shingles (`MinHashBands.shingles=datatrove_sha1`) on a tenth
growth   CPU time and peak memory over `--sizes` documents, and over the most of them on Ray with two workers
truth    pairs found against pairs of known similarity: the documents of `speed`, and the two sets of news in
         ../shared/data; text-dedup as well, if --peers is a folder that has it (pip install --target FOLDER text-dedup)

Bounds: 20 x datatrove's speed; 10 x the documents at most 11 x the CPU time; a million documents within 4 GB in all on
two workers; what verified dedup removes is as similar as was asked to what stays, without exception.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from dedup_truth import Pair, by_similarity, news_pairs, pairs_in, planted_pairs, scores, too_unlike
from near_documents import write_documents
from record import RESULTS, record

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("speed", "growth", "truth")
EVERY_S = 0.5
FEW = 200
VERIFY = 0.7
THRESHOLDS = (0.7, 0.8)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "ARROW_NUM_THREADS": "1"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """Of one run. CPU of all its processes; memory of its own process, of its largest other one, of all at one time."""

    cpu: float
    wall: float
    own_mb: float
    other_mb: float
    total_mb: float


class Result(NamedTuple):
    """Ids of each cluster of two or more; of each removed row its id and that of the row it is a duplicate of."""

    clusters: list[list[str]]
    removed: list[tuple[str, str]]


def run(command: list[str], environment: dict[str, str], one_core: bool = True) -> Cost:
    """One process to its end, watched. What it leaves behind is waited for as well."""
    cores = os.sched_getaffinity(0)
    before, begun = children_cpu(), time.perf_counter()
    os.sched_setaffinity(0, {max(cores)} if one_core else cores)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=said, env={**os.environ, **ONE_THREAD, **environment}
        )
        os.sched_setaffinity(0, cores)
        own = other = total = 0.0
        while True:
            peaks, all_ = memory_of(process.pid)
            own, other, total = max(own, peaks[0]), max([other, *peaks[1:]]), max(total, all_)
            try:
                process.wait(EVERY_S)
                break
            except subprocess.TimeoutExpired:
                continue
        if process.returncode:
            said.seek(0)
            sys.exit(f"dedup.py: {' '.join(command)} ended with status {process.returncode}: {said.read()[-2000:]}")
    wall = time.perf_counter() - begun
    while True:  # orphans come to this process (PR_SET_CHILD_SUBREAPER)
        try:
            os.wait()
        except ChildProcessError:
            break
    return Cost(children_cpu() - before, wall, own, other, total)


def children_cpu() -> float:
    """CPU seconds of all processes that this one has reaped so far."""
    times = os.times()
    return times.children_user + times.children_system


def memory_of(pid: int) -> tuple[list[float], float]:
    """The peak so far of a process and of each that it has started; all of them now, shared pages once. Unit: MB."""
    peaks, total = [0.0], 0.0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return peaks, total
    for number, process in enumerate(tree):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += process.memory_full_info().pss / 1e6
        except (OSError, psutil.Error):  # it has just ended
            continue
        peak = next((int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)
        peaks[0 if number == 0 else len(peaks) :] = [peak]
    return peaks, total


def headrace(source: Path, output: Path, verify: float | None, *more: str, one_core: bool = True) -> Cost:
    """Recipe `dedup` by its command."""
    command = [sys.executable, "-m", "pipelines", "run", "dedup", "--input", str(source), "--output", str(output)]
    command += [f"--set=NearDuplicates.verify={json.dumps(verify)}", *more]
    return run(command, {"RAY_AUTH_MODE": "disabled"}, one_core)


def peer(name: str, source: Path, output: Path, peers: Path | None) -> Cost:
    """One of dedup_peers.py."""
    path = f"{peers}:{os.environ.get('PYTHONPATH', '')}" if peers else os.environ.get("PYTHONPATH", "")
    command = [sys.executable, str(ROOT / "benchmarks" / "dedup_peers.py"), name, str(source), str(output)]
    return run(command, {"PYTHONPATH": path, **OFFLINE})


def result_of(output: Path) -> Result:
    """What a run of either kind has found."""
    if (output / "clusters.json").exists():
        clusters = json.loads((output / "clusters.json").read_text())
        return Result(clusters, [(id_, first) for first, *rest in clusters for id_ in rest])
    found: dict[str, list[str]] = {}
    removed = []
    for file in [*output.glob("dedup/data/*.parquet"), *output.glob("dedup/removed/*.parquet")]:
        columns = pq.read_table(file, columns=["id", "cluster_id", "duplicate_of"]).to_pylist()
        for row in columns:
            if row["cluster_id"] is not None:
                found.setdefault(row["cluster_id"], []).append(row["id"])
            if row["duplicate_of"] is not None:
                removed.append((row["id"], row["duplicate_of"]))
    return Result([sorted(ids) for ids in found.values()], removed)


def speed(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All sides in turns over `folder`/documents and over a few documents of the same make."""
    source, few = folder / "documents", folder / "few"
    costs: dict[str, list[Cost]] = {}
    starts: dict[str, list[Cost]] = {}
    verify = {"unverified": None, "verified": VERIFY}
    for name, least in verify.items():  # not counted: fills numba's cache
        headrace(few, folder / f"warm-{name}", least)
    for i in range(arguments.repeat):
        for which, into in ((few, starts), (source, costs)):
            for name, least in verify.items():
                into.setdefault(name, []).append(headrace(which, folder / f"{which.name}-{name}-{i}", least))
            if i == 0 or which == few:  # it takes minutes
                output = folder / f"{which.name}-datatrove-{i}"
                into.setdefault("datatrove", []).append(peer("datatrove", which, output, arguments.peers))
    told: dict[str, Any] = {}
    for name, runs in costs.items():
        best, start = min(runs, key=lambda c: c.cpu), min(c.cpu for c in starts[name])
        told[name] = {
            "cpu_s": round(best.cpu, 2),
            "startup_cpu_s": round(start, 2),
            "ms_a_document": round((best.cpu - start) / (arguments.documents - FEW) * 1e3, 4),
            "peak_mb": round(best.own_mb),
        }
    for name in verify:
        told[name]["times_faster"] = round(told["datatrove"]["ms_a_document"] / told[name]["ms_a_document"], 1)
        told[name]["times_faster_with_startup"] = round(told["datatrove"]["cpu_s"] / told[name]["cpu_s"], 1)
    return {"documents": arguments.documents, "sides": told, "against_datatrove": compare(arguments, folder)}


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Our clusters beside datatrove's; and, on fewer documents, with its own shingles and so its own signatures."""
    ours, theirs = (result_of(folder / f"documents-{name}-0") for name in ("unverified", "datatrove"))
    fewer = folder / "tenth"
    write_documents(fewer, max(arguments.documents // 10, 200), seed=3)
    headrace(fewer, folder / "tenth-ours", None, "--set=MinHashBands.shingles=datatrove_sha1")
    peer("datatrove", fewer, folder / "tenth-datatrove", arguments.peers)
    same, other = (result_of(folder / f"tenth-{name}") for name in ("ours", "datatrove"))
    mine, its = pairs_in(ours.clusters), pairs_in(theirs.clusters)
    truth = {tuple(pair[:2]): pair[2] for pair in json.loads((folder / "truth.json").read_text())}
    return {
        "removed": [len(ours.removed), len(theirs.removed)],
        "pairs": [len(mine), len(its)],
        "pairs_of_both": len(mine & its),
        "only_ours_by_similarity": by_similarity(mine - its, truth),
        "only_theirs_by_similarity": by_similarity(its - mine, truth),
        "with_its_shingles": {
            "removed": [len(same.removed), len(other.removed)],
            "same_clusters": {frozenset(c) for c in same.clusters} == {frozenset(c) for c in other.clusters},
        },
    }


def growth(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """CPU time and peak memory by the number of documents, verified; the greatest number on Ray as well."""
    told: dict[str, Any] = {"documents": arguments.sizes, "memory_option": arguments.memory}
    write_documents(folder / "small", FEW, seed=4, truth=False)
    runs = [
        headrace(folder / "small", folder / f"small-{i}", VERIFY) for i in range(3)
    ]  # the first fills numba's cache
    start, costs = min(c.cpu for c in runs), []
    for size in arguments.sizes:
        write_documents(folder / f"{size}", size, seed=2, truth=False)
        costs.append(headrace(folder / f"{size}", folder / f"{size}-local", VERIFY, f"--memory={arguments.memory}"))
    told["startup_cpu_s"] = round(start, 2)
    told["cpu_s"] = [round(c.cpu - start, 1) for c in costs]
    told["ms_a_document"] = [round((c.cpu - start) / n * 1e3, 4) for c, n in zip(costs, arguments.sizes, strict=True)]
    told["cpu_ratio"] = round((costs[-1].cpu - start) / (costs[0].cpu - start), 2)
    told["peak_mb"] = [round(c.own_mb) for c in costs]
    more = ("--runner=ray", "--workers=2", f"--memory={arguments.memory}")
    ray = headrace(folder / f"{size}", folder / f"{size}-ray", VERIFY, *more, one_core=False)
    told["ray"] = {
        "workers": 2,
        "documents": size,
        "wall_s": round(ray.wall, 1),
        "driver_peak_mb": round(ray.own_mb),
        "largest_process_peak_mb": round(ray.other_mb),
        "total_peak_mb": round(ray.total_mb),
    }
    local, on_ray = (result_of(folder / f"{size}-{where}") for where in ("local", "ray"))
    told["ray"]["same_rows_removed"] = sorted(local.removed) == sorted(on_ray.removed)
    return told


def truth(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Precision, recall and F1 of pairs by threshold, for every side on every set."""
    synthetic = {tuple(pair[:2]): pair[2] for pair in json.loads((folder / "truth.json").read_text())}
    sets: dict[str, dict[Pair, float]] = {"synthetic": synthetic}
    for name, known in (("articles", planted_pairs), ("news", news_pairs)):
        sets[name] = known(folder / name)
    (folder / "synthetic").symlink_to(folder / "documents")
    told: dict[str, Any] = {}
    for name, pairs in sets.items():
        told[name] = {}
        for side in (
            "unverified",
            "verified 0.7",
            "verified 0.8",
            "datatrove",
            *(["text-dedup"] if arguments.peers else []),
        ):
            output = folder / f"truth-{name}-{side.replace(' ', '-')}"
            if side in ("datatrove", "text-dedup"):
                known_output = folder / "documents-datatrove-0"
                output = (
                    known_output if name == "synthetic" and side == "datatrove" and known_output.exists() else output
                )
                cost = None if output.exists() else peer(side, folder / name, output, arguments.peers)
            else:
                cost = headrace(folder / name, output, float(side[9:]) if side != "unverified" else None)
            result = result_of(output)
            ids = [
                id_
                for f in (folder / name).glob("*.parquet")
                for id_ in pq.read_table(f, columns=["id"])["id"].to_pylist()
            ]
            told[name][side] = {str(t): scores(result.clusters, pairs, t, ids) for t in THRESHOLDS}
            told[name][side]["removed"] = len(result.removed)
            if cost is not None:
                told[name][side]["cpu_s"] = round(cost.cpu, 1)
            if side.startswith("verified"):
                told[name][side]["removed_too_unlike"] = too_unlike(folder / name, result.removed, float(side[9:]))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 500_000], help="of growth, the least first")
    parser.add_argument("--memory", default="1GiB", help="of a process, in growth")
    parser.add_argument("--peers", type=Path, help="a folder of packages that are not installed, such as text-dedup")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--folder", type=Path, help="where to work: takes about 10 kB a document")
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    told: dict[str, Any] = {}
    if (result := RESULTS / "dedup.json").exists():  # of parts that are not measured now, what was measured last
        earlier = json.loads(result.read_text())
        told = {part: earlier[part] for part in PARTS if part in earlier and part not in arguments.parts}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        if {"speed", "truth"} & {*arguments.parts}:
            pairs = write_documents(
                folder / "documents", arguments.documents, seed=1, rows_a_file=-(-arguments.documents // 8)
            )
            (folder / "truth.json").write_text(json.dumps([[p["a"], p["b"], p["jaccard"]] for p in pairs.to_pylist()]))
            write_documents(folder / "few", FEW, seed=4)
        for part in arguments.parts:
            told[part] = {"speed": speed, "growth": growth, "truth": truth}[part](arguments, folder)
    record("dedup", told)


if __name__ == "__main__":
    main()
