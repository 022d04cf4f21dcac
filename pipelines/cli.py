"""The program. Exit status: 0 done; 1 the run failed; 2 the command, config or schema is wrong and nothing started."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from cluster.errors import ConfigError, HeadraceError
from cluster.exchange.phases import LEAST_MEMORY
from cluster.limits import STUCK_AFTER_S
from cluster.plan import Plan, make_plan
from cluster.run import Options, Runner, run
from cluster.shards import list_inputs
from cluster.signals.events import Hear
from cluster.signals.log import Log, captured
from pipelines import model_commands
from pipelines.arguments import parser
from pipelines.asked import with_models
from pipelines.config import bytes_of, configure, parse_sets, read_config
from pipelines.funnel import funnel
from pipelines.places import overlaps
from pipelines.preflight import check_servers
from pipelines.printing import complain, say, unforeseen
from pipelines.recipes import find_recipe
from pipelines.watching import watching
from schemas import credentials
from schemas.check import SchemaError
from schemas.manifest import ManifestError


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors are one line on stderr, then detail."""
    arguments = parser().parse_args(argv)
    try:
        if faults := [*credentials.faults({k: v for k, v in vars(arguments).items() if k != "id"})]:
            raise ConfigError("\n".join(dict.fromkeys(faults)))
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()  # a reader that has gone is met here, not when the interpreter ends
        return status
    except (ConfigError, SchemaError, ManifestError) as error:
        return complain(error, 2, _log(arguments))
    except HeadraceError as error:
        return complain(error, error.status, _log(arguments))
    except KeyboardInterrupt:
        what = "headrace: interrupted; the same command goes on where this one stopped"
        _log(arguments).tell(what, event="interrupted", level="warning")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return complain(unforeseen(error), 1, _log(arguments))


def run_command(arguments: argparse.Namespace) -> int:
    options = run_options(arguments)
    arguments.log_format = options["log_format"]  # also for what main has to say
    log = _log(arguments)
    with captured(log), watching(options) as hear:
        result = _run(options, hear, log)
    say(json.dumps(result) if options["json"] else funnel(result, options["output"]))
    return 0


def _run(options: dict[str, Any], hear: Hear, log: Log) -> dict[str, Any]:
    plan = plan_of(options)
    check_servers(plan, options["output"], options["fresh"])
    carried_out = Options(
        fresh=options["fresh"],
        redo=tuple(options["redo"]),
        max_dead=options["max_dead"],
        removed_text=options["removed_text"],
        memory=bytes_of(options["memory"]),
        quiet=options["json"],
        ledger=options["ledger"],
        log=log,
        hear=hear,
        complete=with_models,
    )
    try:
        return run(plan, options["output"], runner_of(options), carried_out)
    except HeadraceError as error:
        if options["json"] and error.totals is not None:
            say(json.dumps(error.totals))
        raise


def run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `run` and `submit`: the command line first, then --config, then defaults. All faults at once."""
    options = {**DEFAULTS, **_merged(arguments)}
    faults = []
    if not options["input"]:
        faults.append("no input: give --input")
    if not options["output"]:
        faults.append("no output: give --output")
    if not 0 <= options["max_dead"] <= 1:
        faults.append(f"--max-dead should be between 0 and 1, got {options['max_dead']}")
    if not options["stuck_after"] > 0:
        faults.append(f"--stuck-after should be above 0, got {options['stuck_after']}")
    if options["workers"] is not None and options["workers"] < 1:
        faults.append(f"--workers should be at least 1, got {options['workers']}")
    if options["fresh"] and options["redo"]:
        faults.append("--fresh starts over with all steps, --redo with some: give one of the two")
    try:
        if bytes_of(options["memory"]) < LEAST_MEMORY:
            faults.append(f"--memory should be at least {LEAST_MEMORY >> 20}MiB, got {options['memory']}")
    except ValueError as error:
        faults.append(f"--memory {error}")
    faults += overlaps(options["input"], options["output"]) if options["output"] else []
    if faults:
        raise ConfigError("\n".join(faults))
    return options


def plan_of(options: dict[str, Any]) -> Plan:
    """The checked plan of a recipe over its inputs."""
    recipe = configure(find_recipe(options["recipe"]), options["set"])
    if not options["input"]:
        raise ConfigError("no input: give --input")
    return make_plan(recipe, list_inputs(options["input"]))


def runner_of(options: dict[str, Any]) -> Runner:
    """The runner that is asked for. Ray is imported only when it is."""
    if options["runner"] == "ray":
        from cluster.stream import RayRunner  # noqa: PLC0415 - importing Ray takes a second

        return RayRunner(options["workers"], options["address"], options["stuck_after"])
    from cluster.local import LocalRunner  # noqa: PLC0415 - beside its sibling

    return LocalRunner()


def plan_command(arguments: argparse.Namespace) -> int:
    from pipelines.estimate import describe, estimate  # noqa: PLC0415 - only this command needs it

    options = {**DEFAULTS, **_merged(arguments)}
    numbers = {"--sample": arguments.sample, "--workers": options["workers"]}
    faults = [f"{name} should be at least 1, got {n}" for name, n in numbers.items() if n is not None and n < 1]
    if faults:
        raise ConfigError("\n".join(faults))
    plan = plan_of(options)
    found = describe(plan)
    if arguments.sample is not None:
        check_servers(plan)
        found["estimate"] = estimate(plan, arguments.sample, options["workers"] or 1, options["ledger"])
    if arguments.json:
        say(json.dumps(found))
    else:
        from pipelines.estimate import as_text  # noqa: PLC0415 - beside its siblings

        say(as_text(found))
    return 0


def status_command(arguments: argparse.Namespace) -> int:
    from pipelines.status import as_text, status  # noqa: PLC0415 - only this command needs it

    found = status(arguments.output)
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def report_command(arguments: argparse.Namespace) -> int:
    from pipelines.report import write_report  # noqa: PLC0415 - brings a template engine

    say(f"report: {write_report(arguments.output)}")
    return 0


def explain_command(arguments: argparse.Namespace) -> int:
    from pipelines.explain import as_text, explain  # noqa: PLC0415 - only this command needs it

    found = explain(arguments.output, arguments.id)
    say(json.dumps(found, default=str) if arguments.json else as_text(found))
    return 0


def replay_command(arguments: argparse.Namespace) -> int:
    from pipelines.replay import as_text, replay  # noqa: PLC0415 - only this command needs it

    found = replay(arguments.output)
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def audit_command(arguments: argparse.Namespace) -> int:
    from pipelines.audit import as_text, audit  # noqa: PLC0415 - only this command needs it

    faults = []
    if arguments.recipe != "dedup":
        faults.append(f"no audit of {arguments.recipe!r}; there is dedup")
    if arguments.documents < 1:
        faults.append(f"--documents should be at least 1, got {arguments.documents}")
    if arguments.seed < 0:
        faults.append(f"--seed should be at least 0, got {arguments.seed}")
    if faults:
        raise ConfigError("\n".join(faults))
    found = audit(arguments.input, arguments.documents, arguments.seed, parse_sets(arguments.set))
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def submit_command(arguments: argparse.Namespace) -> int:
    from cluster.jobs import submit  # noqa: PLC0415 - importing Ray takes a second

    options = run_options(arguments)
    configure(find_recipe(options["recipe"]), options["set"])
    return submit(options, wait=not arguments.no_wait, submission_id=arguments.submission_id)


def recipes_command(arguments: argparse.Namespace) -> int:
    from pipelines.catalogue import recipes_text  # noqa: PLC0415 - imports every stage

    say(recipes_text())
    return 0


def stages_command(arguments: argparse.Namespace) -> int:
    from pipelines.catalogue import stages_text  # noqa: PLC0415 - imports every stage

    say(stages_text(arguments.name))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run_command,
    "submit": submit_command,
    "plan": plan_command,
    "status": status_command,
    "report": report_command,
    "explain": explain_command,
    "replay": replay_command,
    "audit": audit_command,
    "recipes": recipes_command,
    "stages": stages_command,
    **model_commands.COMMANDS,
}

DEFAULTS: dict[str, Any] = {
    "input": [], "output": None, "set": {}, "runner": "local", "workers": None, "address": None,
    "fresh": False, "redo": [], "max_dead": 0.001, "memory": "2GiB", "ledger": None, "removed_text": True,
    "stuck_after": STUCK_AFTER_S,
    "json": False, "log_format": "text", "otel": False,
}  # fmt: skip


def _log(arguments: argparse.Namespace) -> Log:
    return Log(getattr(arguments, "log_format", None) or "text")


def _merged(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {k: v for k, v in vars(arguments).items() if v is not None and k not in ("command", "config", "set")}
    config = read_config(arguments.config) if arguments.config else {}
    for name in ("input", "redo"):
        if isinstance(config.get(name), str):
            config[name] = [config[name]]
    settings = {stage: dict(values) for stage, values in config.pop("set", {}).items()}
    for stage, values in parse_sets(arguments.set).items():
        settings.setdefault(stage, {}).update(values)
    return {**config, **given, "set": settings}
