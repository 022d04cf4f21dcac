"""Commands about models: `probe` a refining model's prompt format, `train` one of our own, fit a `scaling` law."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from cluster.errors import ConfigError
from pipelines.config import parse_sets


def add_commands(commands: Any) -> None:
    """Their arguments, to the program's subparsers."""
    probe = commands.add_parser("probe", help="which prompt format a refining model answers best, on your pages")
    _input(probe, "documents to try it on")
    probe.add_argument("--documents", type=int, default=100, metavar="N", help="how many (default 100)")
    probe.add_argument("--seed", type=int, default=0, metavar="S", help="which are drawn (default 0)")
    probe.add_argument("--set", action="append", default=[], metavar="STAGE.SETTING=VALUE", help="change a setting")
    _json(probe)
    train = commands.add_parser("train", help="a model of your own: a refiner, a fastText classifier")
    kinds = train.add_subparsers(dest="kind", required=True, metavar="KIND")
    _fasttext(kinds.add_parser("fasttext", help="a classifier for FastTextClassifier, from labelled documents"))
    scaling = commands.add_parser("scaling", help="fit accuracy against synthetic tokens: what more is worth")
    scaling.add_argument("points", metavar="POINTS.csv", help="columns tokens (millions) and accuracy")
    scaling.add_argument("--terms", type=int, default=3, metavar="N", help="exponentials at most (default 3)")
    scaling.add_argument("--target", type=float, metavar="ACCURACY", help="how many tokens that takes")
    _json(scaling)


def probe_command(arguments: argparse.Namespace) -> int:
    from pipelines.probe import as_text, probe  # noqa: PLC0415 - only this command needs it

    _at_least(arguments, documents=1, seed=0)
    if not arguments.input:
        raise ConfigError("no input: give --input")
    found = probe(arguments.input, arguments.documents, arguments.seed, parse_sets(arguments.set))
    print(json.dumps(found) if arguments.json else as_text(found))
    return 0


def train_command(arguments: argparse.Namespace) -> int:
    return TRAINERS[arguments.kind](arguments)


def _fasttext(command: argparse.ArgumentParser) -> None:
    from stages.rate.fasttext_training import Options  # noqa: PLC0415 - its defaults alone

    _input(command, "a text and its label a row")
    command.add_argument("--label", required=True, metavar="COLUMN", help="of the labels")
    command.add_argument("--text", default="text", metavar="COLUMN", help="of the texts (default text)")
    command.add_argument("--output", required=True, metavar="MODEL.bin", help="any fsspec address")
    command.add_argument("--held-back", type=float, default=0.1, metavar="SHARE", help="to measure on (default 0.1)")
    for field in dataclasses.fields(Options):
        name, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        command.add_argument(name, type=kind, default=field.default, help=f"as fastText's (default {field.default})")
    _json(command)


def train_fasttext_command(arguments: argparse.Namespace) -> int:
    from pipelines.train_fasttext import as_text, train_fasttext  # noqa: PLC0415 - only this command needs it
    from stages.rate.fasttext_training import Options  # noqa: PLC0415

    if not arguments.input:
        raise ConfigError("no input: give --input")
    try:
        options = Options(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(Options)})
    except ValueError as error:
        raise ConfigError(f"--{str(error).replace('_', '-')}") from error
    found = train_fasttext(
        arguments.input, arguments.label, arguments.output, arguments.text, arguments.held_back, options
    )
    print(json.dumps(found) if arguments.json else as_text(found))
    return 0


def scaling_command(arguments: argparse.Namespace) -> int:
    from pipelines.scaling import as_text, scaling  # noqa: PLC0415 - only this command needs it

    _at_least(arguments, terms=1)
    found = scaling(arguments.points, arguments.terms, arguments.target)
    print(json.dumps(found) if arguments.json else as_text(found))
    return 0


def _input(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--input", action="append", default=[], metavar="URL", help=f"Parquet: {what}")


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _at_least(arguments: argparse.Namespace, **bounds: int) -> None:
    """`ConfigError` with every option that is below its bound."""
    below = {name: getattr(arguments, name) for name, bound in bounds.items() if getattr(arguments, name) < bound}
    if below:
        raise ConfigError(
            "\n".join(f"--{name} should be at least {bounds[name]}, got {n}" for name, n in below.items())
        )


TRAINERS: dict[str, Callable[[argparse.Namespace], int]] = {"fasttext": train_fasttext_command}
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "probe": probe_command,
    "train": train_command,
    "scaling": scaling_command,
}
