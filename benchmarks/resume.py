"""Resume start-up: `headrace run` again over an output with 90,000 finished shards, on S3 and on a local disk.

    python benchmarks/resume.py [--shards 90000] [--undone 3] [--only CASE ...]

One JSON line. The recipe is the first step of `web`; the manifests are that of a real shard with other names, sources
and counts, written through our schema, and packed as the driver packs them while it commits. The S3 server is moto, a
process of its own over HTTP on loopback, filled from within, with listings of ours (listing_server.py: each page takes
`page_s`); its CPU time is told beside the run's. `start_s` is from the start of the process to the first line of its
log, which says what is left to do; `run_s` to its end; `load` is how many processes wanted the machine's CPUs in the
minute before. The cases:

    s3, disk            nothing is left to do
    s3-undone           some shards are
    s3-unpacked         as `s3`, of an output that has manifests and no packs: each is fetched

Bounds: start_s under 30, peak memory under 1 GB.
"""

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from listing_server import PAGE_S, Listings, listing_by
from record import record

from cluster.local import LocalRunner
from cluster.objects.packs import Packer
from cluster.plan import Plan, make_plan
from cluster.run import Options, _describe, run
from cluster.shards import list_inputs
from cluster.storage import Folder
from pipelines.recipes import find_recipe
from schemas.manifest import Manifest, from_json

SAMPLE = Path(__file__).resolve().parents[1] / "tests" / "data" / "sample.warc.gz"
BUCKET = "water"
CASES = ("s3", "s3-undone", "s3-unpacked", "disk")
STAGES = "url_filter.UrlFilter extract_text.ExtractText language.Language gopher_repetition.GopherRepetition"
STAGES += " gopher_quality.GopherQuality c4_quality.C4Quality fineweb_quality.FineWebQuality dedup.bands.MinHashBands"
RECIPE = "name: crawl\nsteps:\n  - name: filter\n    source: stages.read_warc.ReadWarc\n    stages:\n" + "".join(
    f"      - stages.{stage}\n" for stage in STAGES.split()
)


def names(shards: int) -> Iterator[str]:
    """Inputs, named as Common Crawl names them."""
    for number in range(shards):
        yield f"CC-MAIN-20261105093000-20261105123000-{number:05}.warc.gz"


def template(folder: Path) -> Manifest:
    """The manifest of a real shard."""
    (folder / "recipe.yaml").write_text(RECIPE)
    plan = make_plan(find_recipe(str(folder / "recipe.yaml")), list_inputs([str(SAMPLE)]))
    run(plan, str(folder / "one"), LocalRunner(), Options(quiet=True, max_dead=1.0))
    return from_json(next((folder / "one/filter/manifests").glob("*.json")).read_bytes(), "one")


def manifests(plan: Plan, one: Manifest) -> Iterator[Manifest]:
    """One for each shard: no two have the same figures."""
    chance = random.Random(7)
    for shard in plan.shards:
        times = chance.randrange(40, 60)
        dropped = {reason: rows * times for reason, rows in one.counts.dropped.items()}
        counts = dataclasses.replace(one.counts, rows_in=one.counts.rows_in * times, dropped=dropped)
        counts = dataclasses.replace(counts, emitted=counts.emitted * times, out=counts.out * times, dead=0)
        counts = dataclasses.replace(counts, rows_in=counts.rows_in - counts.missing)
        costs = {name: dataclasses.replace(cost, seconds=chance.random() * 99) for name, cost in one.stages.items()}
        files = (dataclasses.replace(one.files[0], path=f"data/{shard.name}.parquet", rows=counts.out),)
        source = {**one.source, "uri": shard.piece.uri, "size": shard.file.size, "etag": shard.file.etag}
        fingerprint = plan.steps[0].fingerprint
        yield dataclasses.replace(
            one, shard=shard.name, fingerprint=fingerprint, source=source, files=files, counts=counts, stages=costs
        )


def finish(output: str, plan: Plan, one: Manifest, undone: int, put: Any, packed: bool) -> None:
    """What a run leaves in `output`, but for the rows. `put` writes a manifest."""
    step = Folder(output).below("filter")
    step.put("step.json", _describe(plan, plan.steps[0], Options()))
    Folder(output).put("run.json", json.dumps({"status": "done" if not undone else "failed"}).encode())
    packer = Packer(step)
    for number, manifest in enumerate(manifests(plan, one)):
        if number >= undone:
            put(f"filter/manifests/{manifest.shard}.json", manifest.to_json().encode())
            if packed:
                packer.add(manifest)


def serve(folder: Path, shards: int, undone: int) -> None:
    """The S3 server, filled; `counts.json` says what it was asked for, once `stop` is there."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication  # noqa: PLC0415 - only this is a server
    from moto.s3.models import FakeKey, s3_backends  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415
    from werkzeug.serving import WSGIRequestHandler  # noqa: PLC0415

    asked: Counter[str] = Counter()

    def count(self: Any, *_: Any) -> None:
        asked["LIST" if "list-type" in self.path else self.command] += 1

    WSGIRequestHandler.log_request = count  # type: ignore[method-assign,assignment]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ["AWS_ENDPOINT_URL"] = "http://{}:{}".format(*server.get_host_and_port())
    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket(BUCKET, "us-east-1")
    keys: Any = backend.buckets[BUCKET].keys
    listings = Listings(BUCKET, keys)
    DomainDispatcherApplication.__call__ = listing_by(listings, DomainDispatcherApplication)  # type: ignore[method-assign]

    def put(name: str, data: bytes) -> None:
        keys[name] = FakeKey(name, data, account_id="123456789012", region_name="us-east-1", bucket_name=BUCKET)

    for number, name in enumerate(names(shards)):
        put(f"in/{name}", SAMPLE.read_bytes() if number < max(undone, 1) else b"-")
    one = template(folder)
    plan = make_plan(find_recipe(str(folder / "recipe.yaml")), list_inputs([f"s3://{BUCKET}/in"]))
    packed = not (folder / "unpacked").exists()
    finish(f"s3://{BUCKET}/out", plan, one, undone, lambda name, data: put(f"out/{name}", data), packed)
    listings.changed = True
    asked.clear()
    (folder / "ready").write_text(os.environ["AWS_ENDPOINT_URL"])
    while not (folder / "stop").exists():
        time.sleep(0.1)
    (folder / "counts.json").write_text(json.dumps(asked))


def measure(folder: Path, source: str, output: str, endpoint: str = "") -> dict[str, Any]:
    """The command again: wall and CPU time, the most memory, and when it knew what to do."""
    command = [sys.executable, "-m", "pipelines", "run", str(folder / "recipe.yaml")]
    command += ["--input", source, "--output", output, "--runner", "local", "--max-dead", "1"]
    environment = {**os.environ, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    first = process.stderr.readline()
    start = time.perf_counter() - begun
    rest = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(first + rest)
    return {
        "start_s": round(start, 1),
        "run_s": round(time.perf_counter() - begun, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1e3),
        "says": first.partition(" (")[0],
    }


def on_s3(shards: int, undone: int, packed: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not packed:
            (folder / "unpacked").touch()
        command = [sys.executable, __file__, "--serve", scratch, "--shards", str(shards), "--undone", str(undone)]
        server = subprocess.Popen(command)
        while not (folder / "ready").exists():
            if server.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.5)
        before = psutil.Process(server.pid).cpu_times()
        endpoint = (folder / "ready").read_text()
        figures = measure(folder, f"s3://{BUCKET}/in", f"s3://{BUCKET}/out", endpoint)
        after = psutil.Process(server.pid).cpu_times()
        (folder / "stop").touch()
        server.wait()
        calls = json.loads((folder / "counts.json").read_text())
        seconds = after.user + after.system - before.user - before.system
        return {**figures, "server_cpu_s": round(seconds, 1), "calls": calls}


def on_disk(shards: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "in").mkdir()
        for number, name in enumerate(names(shards)):
            (folder / "in" / name).write_bytes(SAMPLE.read_bytes() if number < 1 else b"-")
        one = template(folder)
        plan = make_plan(find_recipe(str(folder / "recipe.yaml")), list_inputs([f"{folder}/in"]))
        (folder / "out/filter/manifests").mkdir(parents=True)
        finish(f"{folder}/out", plan, one, 0, lambda name, data: (folder / "out" / name).write_bytes(data), True)
        return measure(folder, f"{folder}/in", f"{folder}/out")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=90_000)
    parser.add_argument("--undone", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=CASES, choices=CASES)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "test"
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    if arguments.serve:
        return serve(arguments.serve, arguments.shards, arguments.undone)
    cases = {
        "s3": lambda: on_s3(arguments.shards, 0, packed=True),
        "s3-undone": lambda: on_s3(arguments.shards, arguments.undone, packed=True),
        "s3-unpacked": lambda: on_s3(arguments.shards, 0, packed=False),
        "disk": lambda: on_disk(arguments.shards),
    }
    figures = {case: {"load": round(os.getloadavg()[0], 1), **cases[case]()} for case in arguments.only}
    record("resume", {"shards": arguments.shards, "page_s": PAGE_S, **figures})
    return None


if __name__ == "__main__":
    main()
