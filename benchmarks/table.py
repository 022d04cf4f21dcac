"""The figures of README.md, from benchmarks/results/. `python benchmarks/table.py` writes them in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

# What is told of each benchmark: (what, figure) from its JSON.
Lines = Callable[[dict[str, Any]], list[tuple[str, str]]]


def engine(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"`web` on Ray, {r['workers']} workers: wall time over local CPU time / {r['workers']}",
            f"{r['wall_over_ideal']:.2f} ({r['ray_wall_s']:.0f} s; start-up {r['ray_startup_s']:.1f} s apart)",
        )
    ]


def memory(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"peak memory over {r['input_bytes'] / 1e9:.1f} GB of WARC, {r['rows_in']:,} pages",
            f"{r['driver_peak_mb']} MB the driver, {r['worker_peak_mb']} MB a worker",
        )
    ]


def web(r: dict[str, Any]) -> list[tuple[str, str]]:
    theirs = r["sides"]["datatrove"]
    lines = []
    for engine in ("headrace", "trafilatura"):
        ours = r["sides"][engine]
        lines.append(
            (
                f"`web`, engine {engine}, against datatrove {r['versions']['datatrove']}'s FineWeb chain, "
                f"WARC to Parquet, {r['pages']:,} pages",
                f"{ours['ms_a_page']:.1f} against {theirs['ms_a_page']:.1f} ms of CPU a page, "
                f"{ours['times_faster']:.1f} x the speed; start-up {ours['startup_cpu_s']:.1f} against "
                f"{theirs['startup_cpu_s']:.1f} s; same decision {ours['against_datatrove']['agreement']:.1%}",
            )
        )
    return lines


def linearity(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"`web`, engine headrace: {r['times']} x the pages, {r['rows'][0]:,} to {r['rows'][1]:,}",
            f"{r['cpu_ratio']:.2f} x the CPU time, {r['own_ratio']:.2f} x the memory "
            f"({r['own_peak_mb'][1]} MB, its sandbox {r['sandbox_peak_mb'][1]} MB)",
        )
    ]


def agreement(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"`{name}` against datatrove {r['versions']['datatrove']}, {f['documents']} documents by {engine}",
            f"same decision {f['agreement']:.1%}, reason {f['reason_agreement']:.1%}; {f['ratio']:.0f} x the speed",
        )
        for engine, told in r["engines"].items()
        for name, f in told["filters"].items()
    ]


def minhash(r: dict[str, Any]) -> list[tuple[str, str]]:
    lines = []
    for n in (112, 256):
        faster = r[f"times_faster_{n}"]
        lines.append(
            (
                f"MinHash signature of {n} permutations, texts of {r['bytes_per_text'] / 1000:.1f} kB",
                f"{r[f'ms_per_text_{n}']['headrace fast']:.3f} ms; {faster['datatrove sha1']:.0f} x datatrove, "
                f"{faster['datasketch']:.0f} x datasketch, {faster['rensa']:.0f} x rensa",
            )
        )
    return lines


def dedup(r: dict[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if speed := r.get("speed"):
        theirs = speed["sides"]["datatrove"]
        for name, what in (("unverified", "as FineWeb does it"), ("verified", "verified at 0.7")):
            ours = speed["sides"][name]
            lines.append(
                (
                    f"`dedup`, {what}, against datatrove {r['versions']['datatrove']}'s four stages, Parquet to "
                    f"Parquet, {speed['documents']:,} documents of 500 words",
                    f"{ours['ms_a_document']:.2f} against {theirs['ms_a_document']:.1f} ms of CPU a document, "
                    f"{ours['times_faster']:.0f} x the speed; start-up {ours['startup_cpu_s']:.1f} against "
                    f"{theirs['startup_cpu_s']:.1f} s",
                )
            )
    if growth := r.get("growth"):
        few, many = growth["documents"][0], growth["documents"][-1]
        lines.append(
            (
                f"`dedup`, verified: {many / few:g} x the documents, {few:,} to {many:,}",
                f"{growth['cpu_ratio']:.2f} x the CPU time; peak memory {growth['peak_mb'][0]} and "
                f"{growth['peak_mb'][-1]} MB",
            )
        )
        if ray := growth.get("ray"):
            lines.append(
                (
                    f"`dedup` on Ray, {ray['workers']} workers, {ray['documents']:,} documents: peak memory",
                    f"{ray['total_peak_mb'] / 1e3:.1f} GB in all, Ray's own processes included",
                )
            )
    for name, what in (("synthetic", "made documents"), ("news", "news in 5 languages")):
        if (found := r.get("truth", {}).get(name)) and "text-dedup" in found:
            at = {side: told["0.7"]["f1"] for side, told in found.items()}
            lines.append(
                (
                    f"F1 of near-duplicate pairs, {what}, similarity 0.7: `dedup`, datatrove, text-dedup",
                    f"{at['verified 0.7']:.3f} ({at['unverified']:.3f} unverified), {at['datatrove']:.3f}, "
                    f"{at['text-dedup']:.3f}",
                )
            )
    return lines


def language(r: dict[str, Any]) -> list[tuple[str, str]]:
    lid = r["lid-dev"]
    return [
        (
            f"`Language` against one call of the same model per text, {lid['texts']:,} texts",
            f"{lid['times_faster']:.1f} x the speed, {lid['other_labels']} other labels, "
            f"macro F1 {r['quality']['all']['stage']['macro_f1']:.3f}",
        )
    ]


def extraction(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"extraction by {name}, sites that no engine was fitted to",
            f"F1 {f['validation']['words']['f1']:.3f}, {f['ms']:.1f} ms a page",
        )
        for name, f in r["engines"].items()
    ]


def kills(r: dict[str, Any]) -> list[tuple[str, str]]:
    played = [r[recipe] for recipe in ("web", "refine", "entigraph")]
    schedules = sum(recipe["schedules"] for recipe in played)
    done = sum(sum(recipe["kills"].values()) for recipe in played)
    lost, twice, wrong = (sum(recipe[what] for recipe in played) for what in ("lost", "duplicated", "wrong"))
    cpu = r["web"]["local"]["cpu_seconds_lost_per_kill"]
    return [
        (
            f"{schedules} random schedules of kill -9 over `web`, `refine` and `entigraph`, {done} kills: "
            "rows lost, twice, wrong",
            f"{lost}, {twice}, {wrong}; {cpu:.2f} s of CPU a kill done again (`web`, local)",
        )
    ]


def poison(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"one row in {r['documents']:,} that takes its worker with it, Ray, 2 workers",
            f"{r['dead']} dead row, that one; {r['worker_seconds_of_the_row']:.1f} s of a worker",
        )
    ]


def poison_web(r: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"one page in {r['documents']:,} that takes its worker with it, `web` on Ray, 2 workers",
            f"{r['dead']} dead row, that one; {r['worker_seconds_of_the_row']:.0f} s of a worker, "
            f"{100 * r['share_of_worker_seconds']:.2f} % of the run",
        )
    ]


def resume(r: dict[str, Any]) -> list[tuple[str, str]]:
    s3 = r["s3"]
    return [
        (
            f"a run again over {r['shards']:,} finished shards on S3 (moto, {r['page_s']} s a page of a listing)",
            f"knows after {s3['start_s']:.0f} s that nothing is left, {s3['cpu_s']:.0f} of CPU; {s3['peak_mb']} MB",
        )
    ]


TOLD: dict[str, Lines] = {
    "web": web,
    "linearity": linearity,
    "engine": engine,
    "memory": memory,
    "agreement": agreement,
    "minhash": minhash,
    "dedup": dedup,
    "language": language,
    "extraction": extraction,
    "kills": kills,
    "poison": poison,
    "poison_web": poison_web,
    "resume": resume,
}


def table() -> str:
    """The block between the markers."""
    lines = ["| what | measured |", "|---|---|"]
    seen = set()
    for name, told in TOLD.items():
        path = ROOT / "benchmarks" / "results" / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            lines += [f"| {what} | {figure} |" for what, figure in told(result)]
            seen.add((result["date"], result["machine"]["cpu"], result["machine"]["cores"]))
    where = "; ".join(f"{date} on {cores} cores of {cpu}" for date, cpu, cores in sorted(seen))
    return "\n".join([BEGIN, "", *lines, "", f"Measured {where}.", "", END])


def with_table(readme: str) -> str:
    """`readme` with the block as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + table() + (after or "\n" + rest.lstrip("\n"))


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
