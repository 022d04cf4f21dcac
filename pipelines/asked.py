"""What the models of a run were asked and what became of it, for its end and `run.json`: the key `models` of a step.

    {"stage", "model", "rows", "calls", "from_ledger", "prompt_tokens", "completion_tokens", "cost", "decisions"}

Each row has the account in its column `answers`, so the figures are those of all rows of all calls of `run` together,
kept, dropped or dead, and no row is counted that is not there. Of the files only those few parts of that column are
read, sixteen files at a time. A step without a model has no such key.

`cost` is that of the calls with which the rows that are there were paid for. Where work was repeated (a stage that
failed after it had asked, a shard that was begun again, a replay) the ledger had the answers the second time, and who
paid is not there: then it is a lower bound.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cluster.asked import summed
from cluster.commit import read_manifests
from cluster.storage import Folder
from pipelines.status import read
from pipelines.usage import Usage, answers_in
from schemas import columns as c
from schemas.manifest import Manifest

FILES = 16  # that are read at a time
NAMES = ("stage", "model", "decision")
SHOWN = 6  # decisions on the terminal

Told = dict[tuple[str, str, str, str], float]  # by (stage, model, "rows" or a sum, decision)


def with_models(folder: Folder, result: dict[str, Any]) -> dict[str, Any]:
    """`result` of a run in `folder` with what its models were asked; `run.json` has it too.

    Called while the output is that run's, or another one might have taken `run.json` away or put its own meanwhile.
    """
    steps = [{**step, **_models(folder, step["name"])} for step in result["steps"]]
    if steps == result["steps"]:
        return result
    found = {**result, "steps": steps}
    folder.put("run.json", json.dumps(found, indent=1).encode())
    return found


def lines_of(step: dict[str, Any]) -> Iterator[str]:
    """Two lines for each stage that asked a model."""
    for told in step.get("models", ()):
        ledger = f", {told['from_ledger']:,} of them from the ledger" if told["from_ledger"] else ""
        cost = f", {told['cost']:,.4g} dollars" if told["cost"] else ""
        tokens = f"{told['prompt_tokens']:,} tokens in, {told['completion_tokens']:,} out"
        yield f"  {told['stage']} asked {told['model']}: {told['calls']:,} calls{ledger}, {tokens}{cost}"
        decisions = list(told["decisions"].items())
        more = f", {len(decisions) - SHOWN} more" if len(decisions) > SHOWN else ""
        yield "    " + ", ".join(f"{name} {n:,}" for name, n in decisions[:SHOWN]) + more


def _models(folder: Folder, step: str) -> dict[str, Any]:
    about = read(folder, f"{step}/step.json") or {}
    if c.ANSWERS.name not in about.get("schema", {}):
        return {}
    below, stages = folder.below(step), list(dict.fromkeys(about["stages"]))
    total: Told = defaultdict(int)
    manifests = read_manifests(below)
    replayed = {f"dead/{manifest.source.get('replays')}.parquet" for manifest in manifests.values()}  # no more there
    with ThreadPoolExecutor(FILES) as pool:
        for told in pool.map(lambda manifest: _told(below, manifest, stages, replayed), manifests.values()):
            for key, n in told.items():
                total[key] += n
    models = sorted({key[:2] for key in total}, key=lambda key: (stages.index(key[0]), key[1]))
    return {"models": [_entry(stage, model, total) for stage, model in models]} if models else {}


def _entry(stage: str, model: str, total: Told) -> dict[str, Any]:
    mine = {(what, decision): n for (its, of, what, decision), n in total.items() if (its, of) == (stage, model)}
    sums: dict[str, Any] = {
        name: sum(n for (what, _), n in mine.items() if what == name) for name in ("rows", *Usage._fields)
    }
    rows = {decision: n for (what, decision), n in mine.items() if what == "rows"}
    ordered = dict(sorted(rows.items(), key=lambda item: (-item[1], item[0])))
    return {"stage": stage, "model": model, **sums, "cost": round(sums["cost"], 6), "decisions": ordered}


def _told(folder: Folder, manifest: Manifest, stages: list[str], replayed: set[str]) -> Told:
    """Sums over the rows of one shard, by stage, model and decision."""
    total: Told = defaultdict(int)
    for file in manifest.files:
        if file.path in replayed:
            continue
        for answers in answers_in(folder, file.path, (*NAMES, *Usage._fields)):
            for row in summed([answers], NAMES, Usage._fields):
                if row["stage"] in stages:
                    key = row["stage"], row["model"] or "", row["decision"] or ""
                    total[*key[:2], "rows", key[2]] += row["entries"]
                    for name in Usage._fields:
                        total[*key[:2], name, key[2]] += row[name]
    return total
