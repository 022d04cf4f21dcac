"""How far a run is: its manifests for what is done, `status.json` for what is in work."""

import json
import time
from typing import Any

from cluster.commit import read_manifests
from cluster.errors import ConfigError
from cluster.layout import check_layout
from cluster.signals.progress import duration, line
from cluster.storage import Folder
from schemas.manifest import Counts

STALE_S = 60.0  # a driver writes status.json every 10 s; after this long it is not there any more


def status(output: str) -> dict[str, Any]:
    """Plain data: state (running, stopped, done, failed), each step's account, and the driver's last word."""
    folder = Folder(output)
    steps = steps_in_order(folder)
    if not steps:
        raise ConfigError(f"{output}: no run of headrace is there")
    last = read(folder, "status.json")
    result = read(folder, "run.json")
    if result is not None:
        state = result.get("status", "stopped")
    else:
        state = "running" if last is not None and time.time() - last["at"] < STALE_S else "stopped"
    found = []
    for name in steps:
        counts = sum((m.counts for m in read_manifests(folder.below(name)).values()), Counts())
        done = len(folder.names(f"{name}/manifests", ".json"))
        found.append({"name": name, "shards_done": done, **vars(counts)})
    return {"output": output, "state": state, "steps": found, "last": last, "run": result}


def as_text(found: dict[str, Any]) -> str:
    """A few lines for a person."""
    lines = [f"{found['output']}: {found['state']}"]
    for step in found["steps"]:
        dropped = sum(step["dropped"].values())
        lines.append(
            f"  {step['name']}: {step['shards_done']} shards done, {step['rows_in']:,} in, {step['out']:,} kept, "
            f"{dropped:,} dropped, {step['dead']:,} dead, {step['unreadable']:,} unreadable"
        )
    last = found["last"]
    if last is not None and found["state"] in ("running", "stopped"):
        lines.append(f"  {line(last)}")
        lines += [f"    in work: {name}" for name in last["running"][:20]]
        lines.append(f"  as of {duration(time.time() - last['at'])} ago, {last['retries']} retries")
    return "\n".join(lines)


def steps_in_order(folder: Folder) -> list[str]:
    """The steps that are in an output, in the order they run: each behind the one it reads."""
    after = {}
    for name in folder.folders():
        if (step := read(folder, f"{name}/step.json")) is not None:
            if "version" in step:
                check_layout(step, f"{folder.url}/{name}/step.json")
            after[name] = step.get("upstream")
    steps = list(after)
    ordered: list[str] = []
    while len(ordered) < len(steps):
        ready = [n for n in steps if n not in ordered and (after[n] in ordered or after[n] not in steps)]
        ordered += ready or [n for n in steps if n not in ordered]
    return ordered


def read(folder: Folder, name: str) -> dict[str, Any] | None:
    """A file of a run; None if it is not there, `ConfigError` if it is damaged."""
    try:
        found = json.loads(folder.get(name))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{folder.url}/{name}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{folder.url}/{name}: expected an object, found {found!r:.80}")
    return found
