"""Where a row came from, every stage's verdict on it, what models said, every edit, and what it duplicates."""

import json
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.commit import committed_files
from cluster.errors import ConfigError
from cluster.storage import Folder
from pipelines.status import steps_in_order
from schemas.visible import one_line

SHOWN_CHARS = 500
SHOWN_OUTPUT = 300  # code points of what a model wrote
SHOWN_ROWS = 20  # others of its cluster
SHOWN = (  # by their own lines; all others as columns
    "url", "date", "dump", "source", "id", "text", "edits", "answers", "drop_stage", "drop_reason", "stage", "error",
)  # fmt: skip
CLUSTER = ("id", "url", "duplicate_of", "cluster_id", "jaccard_score", "similarity")


def explain(output: str, doc_id: str) -> dict[str, Any]:
    """Plain data about the row `doc_id`: its origin, and for each step it reached, what was decided there."""
    folder = Folder(output)
    steps = steps_in_order(folder)
    if not steps:
        raise ConfigError(f"{output}: no run of headrace is there")
    found: dict[str, Any] = {"id": doc_id, "steps": []}
    for name in steps:
        step = json.loads(folder.get(f"{name}/step.json"))
        place, row = _find(folder.below(name), doc_id)
        if row is None:
            continue
        found.update({key: row[key] for key in ("url", "date", "source", "dump") if row.get(key) is not None})
        found["steps"].append({"step": name, "file": place, **_verdicts(step, place, row)})
        if "DropDuplicates" in step["stages"] and row.get("cluster_id"):  # a later step's rows have the columns too
            found["cluster"] = _cluster(folder.below(name), name, row)
        if row.get("duplicate_of"):
            found["duplicate_of"] = row["duplicate_of"]
        if (row.get("cluster_size") or 0) > 1 and not row.get("duplicate_of"):
            found["duplicates"] = _copies(folder.below(name), doc_id)
    if not found["steps"]:
        raise ConfigError(
            f"{output}: no row has the id {doc_id!r} (looked in data, removed and dead of {', '.join(steps)})"
        )
    return found


def as_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [one_line(found["id"])]
    lines += [f"  {key}: {one_line(str(found[key]))}" for key in ("url", "date", "dump", "source") if key in found]
    for step in found["steps"]:
        lines.append(f"step {step['step']}: {step['outcome']}  ({step['file']})")
        lines += [f"  {stage:<20} {verdict}" for stage, verdict in step["verdicts"].items()]
        for answer in step["answers"]:
            lines += _answer_text(answer)
        for edit in step["edits"]:
            rule = "; ".join(edit["rule"].split("\n"))
            lines.append(
                f"  edit by {edit['stage']}, {rule}: {edit['n_chars_before']:,} -> {edit['n_chars_after']:,} characters"
            )
        lines += [f"  {one_line(name)} = {one_line(str(value))}" for name, value in step["columns"].items()]
        if step.get("error"):
            lines.append(f"  error: {step['error']}")
        if step["text"]:
            lines.append("  text: " + step["text"].replace("\n", "\n        "))
    if "cluster" in found:
        lines += _cluster_text(found["id"], found["cluster"])
    if "duplicate_of" in found:
        lines.append(f"duplicate of {found['duplicate_of']}, which stays")
    if "duplicates" in found:
        lines.append(f"stays for {len(found['duplicates'])} duplicates: " + ", ".join(found["duplicates"][:20]))
    return "\n".join(lines)


def _find(folder: Folder, doc_id: str) -> tuple[str, dict[str, Any] | None]:
    """The file and the row of `doc_id` in a step; ids first, so that texts are read of one row group only."""
    for part in ("data", "removed", "dead"):
        for name in committed_files(folder, part):
            with folder.open(name) as file:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    ids = parquet.read_row_group(group, columns=["id"]).column("id")
                    at = pc.index(ids, doc_id).as_py()
                    if at >= 0:
                        columns = [c for c in parquet.schema_arrow.names if c != "html"]
                        return name, parquet.read_row_group(group, columns=columns).slice(at, 1).to_pylist()[0]
    return "", None


def _verdicts(step: dict[str, Any], place: str, row: dict[str, Any]) -> dict[str, Any]:
    """What each stage of the step said, from where the row is and why."""
    part = place.partition("/")[0]
    stopped = {"removed": row.get("drop_stage"), "dead": row.get("stage")}.get(part)
    source = step["identity"]["source"]["stage"].rpartition(".")[2]
    verdicts: dict[str, str] = {}
    reached = True
    for stage in [source, *step["stages"]]:
        if not reached:
            verdicts[stage] = "not reached"
        elif stage == stopped:
            reached = False
            verdicts[stage] = f"dropped: {row['drop_reason']}" if part == "removed" else f"failed: {row['error']}"
        else:
            verdicts[stage] = "read" if stage == source else "passed"
    outcome = {
        "data": "kept",
        "removed": f"dropped by {stopped}: {row.get('drop_reason')}",
        "dead": f"died in {stopped}",
    }
    told = {name: _list_of(row, name, key) for name, key in (("answers", "prompt_hash"), ("edits", "rule"))}
    shown = tuple(name for name in SHOWN if told.get(name, []) is not None)  # else it is a column of the user's
    columns = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
        if name not in (*shown, "traceback") and value is not None
    }
    return {
        "outcome": outcome[part],
        "verdicts": verdicts,
        "answers": told["answers"] or [],
        "edits": told["edits"] or [],
        "columns": columns,
        "text": (row.get("text") or "")[:SHOWN_CHARS],
        "error": row.get("traceback") or row.get("error") if part == "dead" else None,
    }


def _list_of(row: dict[str, Any], name: str, key: str) -> list[dict[str, Any]] | None:
    """The column `name` of a row, if it is a list of what has `key`."""
    value = row.get(name) or []
    fits = isinstance(value, list) and all(isinstance(item, dict) and key in item for item in value)
    return value if fits else None


def _answer_text(answer: dict[str, Any]) -> list[str]:
    """What a model was asked for a row, what it took, and what it wrote: a program, or the beginning of a text."""
    calls = f"{answer['calls']:,} call{'' if answer['calls'] == 1 else 's'}"
    tokens = f"{answer['prompt_tokens']:,} tokens in, {answer['completion_tokens']:,} out"
    faults = f", {answer['errors']:,} fault{'' if answer['errors'] == 1 else 's'}" if answer["errors"] else ""
    lines = [
        f"  {answer['stage']} asked {answer['model']}: {answer['decision']}{faults}",
        f"    {calls}, {answer['from_ledger']:,} from the ledger; {tokens}; {answer['seconds']:.1f} s, "
        f"${answer['cost']:.4f}; prompt {answer['prompt_hash']}",
    ]
    output = (answer["output"] or "").strip()
    more = " ..." if len(output) > SHOWN_OUTPUT else ""
    return lines + ([f"    {line}" for line in (output[:SHOWN_OUTPUT] + more).split("\n")] if output else [])


def _cluster(folder: Folder, step: str, row: dict[str, Any]) -> dict[str, Any]:
    """The cluster of `row`: its size, the row that stays for it, and the others: those that stay, then the likest."""
    others: list[dict[str, Any]] = []
    for part in ("data", "removed"):
        for name in committed_files(folder, part):
            with folder.open(name) as file:
                there = [column for column in CLUSTER if column in pq.read_schema(file).names]
                if "cluster_id" not in there:
                    continue
                file.seek(0)
                rows = pq.read_table(file, columns=there, filters=pc.field("cluster_id") == row["cluster_id"])
                others += rows.to_pylist()
    mine = next(other for other in others if _verdict(other) == _verdict(row))
    others.remove(mine)
    for other in others:
        del other["cluster_id"]
        score = other.get("jaccard_score")
        if score is not None and score != score:  # noqa: PLR0124 - not a number
            other["jaccard_score"] = None
    others.sort(key=lambda o: (o["duplicate_of"] is not None, -(_score(o) or 0.0), o["id"]))
    return {
        "step": step,
        "id": row["cluster_id"],
        "size": row["cluster_size"],
        "stays": row["duplicate_of"] or row["id"],
        "others": others[:SHOWN_ROWS],
        "more": len(others) - len(others[:SHOWN_ROWS]),
    }


def _score(row: dict[str, Any]) -> float | None:
    """How alike the row is to the one that it goes for."""
    score: float | None = row.get("jaccard_score", row.get("similarity"))
    return score


def _verdict(row: dict[str, Any]) -> tuple[Any, Any]:
    return row["id"], row["duplicate_of"]


def _cluster_text(doc_id: str, cluster: dict[str, Any]) -> list[str]:
    stays = "this one stays" if cluster["stays"] == doc_id else f"{cluster['stays']} stays instead of this one"
    lines = [f"cluster {cluster['id']} of step {cluster['step']}: {cluster['size']:,} rows; {stays}"]
    for other in cluster["others"]:
        score = _score(other)
        how = "stays" if other["duplicate_of"] is None else "removed" if score is None else f"removed {score:.3f}"
        of = f"  as {other['duplicate_of']}" if other["duplicate_of"] not in (None, cluster["stays"]) else ""
        lines.append(one_line(f"  {how:<14} {other['id']}{of}" + (f"  {other['url']}" if other.get("url") else "")))
    return lines + ([f"  and {cluster['more']:,} more"] if cluster["more"] else [])


def _copies(folder: Folder, doc_id: str) -> list[str]:
    """Ids of the rows that were removed as duplicates of `doc_id`."""
    copies: list[str] = []
    for name in committed_files(folder, "removed"):
        with folder.open(name) as file:
            table = pq.read_table(file, columns=["id", "duplicate_of"], filters=pc.field("duplicate_of") == doc_id)
            copies += table.column("id").to_pylist()
    return sorted(copies)
