"""What an output holds already, and whether this run may go on with it.

A step that was made with other settings, versions, models, prompts or inputs is refused, every difference named, with
the `--redo` that would do it again. Steps that it does not concern are kept.
"""

from dataclasses import dataclass
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from cluster.errors import ConfigError, HeadraceError
from cluster.layout import check_step, read_step
from cluster.ledger import FOLDER as LEDGER
from cluster.plan import Plan, PlannedStep
from cluster.shards import InputFile
from cluster.storage import Folder, address, locate
from schemas.check import nearest
from stages.stage import name_of

OURS = ("run.json", "status.json", "report.html")  # files directly in an output
MOST_FILES = 100  # that a refusal names of those that differ
PROMPTS = ("prompt_hash", "prompt_hashes")

Found = dict[str, dict[str, Any]]  # step.json by the name of the step


@dataclass(frozen=True)
class Output:
    """What is to be taken away before the run goes on: steps, those behind others first."""

    folder: Folder
    discarded: tuple[str, ...] = ()


def inspect(plan: Plan, output: str, fresh: bool, redo: tuple[str, ...] = ()) -> Output:
    """Check that `output` can take this run, changing nothing. `ConfigError` names every difference."""
    filesystem, path = locate(output)
    folder = Folder(address(filesystem, path))
    if not isinstance(filesystem, LocalFileSystem) and any(sign in path for sign in "*?["):
        # fsspec deletes and reads by pattern there: clearing `out[1]` would clear `out1`.
        raise ConfigError(f"output {output}: an address with *, ? or [ may name many places")
    if LEDGER in [planned.name for planned in plan.steps]:
        raise ConfigError(
            f"a step cannot be named {LEDGER!r}: an output's {LEDGER}/ holds the answers that were paid for"
        )
    there = _steps_in(folder, output)
    if fresh:
        return Output(folder, _behind_first(plan, there, set(there)))
    for name, found in there.items():
        check_step(found, f"{folder.url}/{name}/step.json")
    again = _again(plan, there, redo)
    kept = {name: found for name, found in there.items() if name not in again}
    lines = _differences(plan, there, kept)
    if lines:
        raise ConfigError("\n".join([f"output {output} holds another run's data ({_hint(plan, there)}):", *lines]))
    return Output(folder, _behind_first(plan, there, again))


def made_from(plan: Plan, folder: Folder, name: str) -> tuple[str, ...]:
    """The step `name` of the output in `folder` and all that was made from it there, in the order to take them away."""
    there = _steps_in(folder, folder.url)
    return _behind_first(plan, there, _again(plan, there, (name,)))


def _steps_in(folder: Folder, output: str) -> Found:
    """The steps that an output has. `ConfigError` if it holds anything that is not headrace's."""
    try:
        # The ledger stays even with --fresh: whoever starts over does not want to pay again.
        steps = {name: read_step(folder, name) for name in folder.folders() if name != LEDGER}
        strangers = [name for name in folder.names() if name not in OURS]
        strangers += [f"{name}, a link" for name in folder.links()]
    except HeadraceError:
        raise
    except Exception as error:
        raise ConfigError(f"output {output}: cannot be read: {type(error).__name__}: {error}") from error
    for name, step in steps.items():
        inside = folder.below(name)
        if step is None and (inside.names() or inside.folders()):  # empty ones are what a killed run may leave
            strangers.append(f"{name}/")
    if strangers:
        raise ConfigError(f"output {output}: holds files that are not headrace's: {', '.join(sorted(strangers)[:5])}")
    return {name: step for name, step in steps.items() if step is not None}


def _upstreams(plan: Plan, there: Found) -> dict[str, set[str]]:
    """What each step reads: by the plan, and by what the output says of it."""
    before: dict[str, set[str]] = {name: set() for name in [*there, *(planned.name for planned in plan.steps)]}
    for name, found in there.items():
        before[name] |= {found["upstream"]} if found.get("upstream") else set()
    for planned in plan.steps:
        before[planned.name] |= {planned.step.after} if planned.step.after else set()
    return before


def _again(plan: Plan, there: Found, redo: tuple[str, ...]) -> set[str]:
    """The steps to do again: those of `redo`, and all behind them."""
    before = _upstreams(plan, there)
    for name in redo:
        if name not in before:
            hint = nearest(name, list(before)) or f"; there are {', '.join(before)}"
            raise ConfigError(f"--redo {name}: recipe {plan.recipe.name} has no such step{hint}")
    again = set(redo)
    while more := {name for name, upstream in before.items() if upstream & again} - again:
        again |= more
    return again


def _behind_first(plan: Plan, there: Found, names: set[str]) -> tuple[str, ...]:
    """Of `names` those that are there, the last step first: whatever is left when this is cut short fits together."""
    before = _upstreams(plan, there)
    left, ordered = {name for name in names if name in there}, []
    while left:
        read = {upstream for name in left for upstream in before[name] if upstream != name}
        last = sorted(left - read) or sorted(left)
        ordered += last
        left -= set(last)
    return tuple(ordered)


def _changed(plan: Plan, there: Found) -> list[str]:
    """The steps of the output that are not those of the plan, but of its recipe."""
    steps = {planned.name: planned for planned in plan.steps}
    return [
        name
        for name, found in there.items()
        if found["recipe"] == plan.recipe.name
        and (name not in steps or found["fingerprint"] != steps[name].fingerprint)
    ]


def _hint(plan: Plan, there: Found) -> str:
    """The way out of what differs: the fewest steps that have to be done again, if that is enough."""
    changed = _changed(plan, there)
    if any(found["recipe"] != plan.recipe.name for found in there.values()):
        return "give another --output, or --fresh to start over"
    order = [planned.name for planned in plan.steps]
    before = _upstreams(plan, there)
    first = [name for name in changed if not before[name] & set(changed)] or changed
    first.sort(key=lambda name: order.index(name) if name in order else len(order))
    redo = " ".join(f"--redo {name}" for name in first)
    kept = [name for name in there if name not in _again(plan, there, tuple(first))]
    what = f"to keep {', '.join(kept)} and do the rest again" if kept else "to do it all again"
    return f"{redo} {what}, --fresh to start over, or give another --output"


def _differences(plan: Plan, there: Found, kept: Found) -> list[str]:
    """What differs between the plan and the steps that the output is to keep, one line each."""
    lines = []
    steps = {planned.name: planned for planned in plan.steps}
    for name, found in kept.items():
        if found["recipe"] != plan.recipe.name:
            lines.append(f"  step {name} of recipe {found['recipe']}")
        elif name not in steps:
            lines.append(f"  step {name} is not in recipe {plan.recipe.name} any more")
        elif found["fingerprint"] != steps[name].fingerprint:
            own = step_differences(plan, steps[name], found)
            upstream = steps[name].step.after
            before = there.get(upstream) if upstream else None
            explained = before is not None and before["fingerprint"] != steps[str(upstream)].fingerprint
            if not own and not explained:
                own = [f"  step {name} was made from another {upstream or 'input'}"]
            lines += own
    return lines


def step_differences(plan: Plan, planned: PlannedStep, found: dict[str, Any]) -> list[str]:
    """What differs within a step; nothing when only what it was made from does."""
    lines = []
    was, now = found["identity"], planned.identity
    if was["layout"] != now["layout"]:
        lines.append(f"  step {planned.name}: layout version was {was['layout']}, is {now['layout']}")
    before, after = _parts(was), _parts(now)
    for path in [*before, *(p for p in after if p not in before)]:
        short = path.rpartition(".")[2]
        if path not in after or path not in before:
            lines.append(f"  step {planned.name}: {short} was {'removed' if path in before else 'added'}")
            continue
        if before[path]["version"] != after[path]["version"]:
            lines.append(f"  {short}: version was {before[path]['version']}, is {after[path]['version']}")
        old, new = before[path]["settings"], after[path]["settings"]
        for name in sorted({*old, *new}):
            if name not in old or name not in new:
                there = f"is {new[name]!r}, and there was no such setting" if name in new else "is no setting any more"
                lines.append(f"  {short}.{name} {there}")
            elif old[name] != new[name]:
                what = " (the text of the prompt has changed)" if name in PROMPTS else ""
                lines.append(f"  {short}.{name} was {old[name]!r}, is {new[name]!r}{what}")
    if found.get("upstream") != planned.step.after:
        lines.append(
            f"  step {planned.name} read {_origin(found.get('upstream'))}, reads {_origin(planned.step.after)}"
        )
    if not planned.step.after:
        lines += _file_differences("input", found["inputs"], plan.inputs)
    if was.get("known") != now.get("known") and planned.step.shuffle is not None:
        who = f"{name_of(planned.step.shuffle)}.index"
        files = _file_differences(f"{who}:", found["index"], planned.known) if "index" in found else []
        lines += files or [f"  {who}: its files have changed"]
    if not lines and [s["stage"] for s in was["stages"]] != [s["stage"] for s in now["stages"]]:
        lines.append(f"  step {planned.name}: its stages stand in another order")
    return lines


def _origin(upstream: str | None) -> str:
    return f"step {upstream}" if upstream else "the input"


def _file_differences(what: str, was: list[dict[str, Any]], now: tuple[InputFile, ...]) -> list[str]:
    """Which files have come, gone or changed."""
    old = {file["uri"]: (file["size"], file["etag"]) for file in was}
    new = {file.uri: (file.size, file.etag) for file in now}
    lines = []
    for uri in sorted({*old, *new}):
        if uri not in new or uri not in old:
            lines.append(f"  {what} {uri} was {'removed' if uri in old else 'added'}")
        elif old[uri] != new[uri]:
            lines.append(f"  {what} {uri} has changed: {old[uri]} then, {new[uri]} now")
    more = [f"  {what} and {len(lines) - MOST_FILES} more"] if len(lines) > MOST_FILES else []
    return lines[:MOST_FILES] + more


def _parts(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Source, shuffle and stages by class path; the second of a kind as `path (2)`."""
    parts: dict[str, dict[str, Any]] = {}
    for part in filter(None, [identity["source"], identity["shuffle"], *identity["stages"]]):
        number = 1 + sum(other["stage"] == part["stage"] for other in parts.values())
        parts[part["stage"] if number == 1 else f"{part['stage']} ({number})"] = part
    return parts
