"""Commands about models: `probe` a refining model's prompt format, `train` one of our own, fit a `scaling` law."""

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from cluster.errors import ConfigError
from pipelines.config import parse_sets
from pipelines.printing import say
from schemas.visible import visible


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
    _refiner(kinds.add_parser("refiner", help="a small model that writes ProX programs, from labelled lines"))
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
    found = probe(arguments.input, arguments.documents, arguments.seed, parse_sets(arguments.set), _tell)
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def train_command(arguments: argparse.Namespace) -> int:
    return TRAINERS[arguments.kind](arguments)


def _refiner(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", required=True, metavar="FOLDER", help="of the model, any fsspec address")
    _input(command, "rows with lines, and keep of each")
    command.add_argument("--pages", action="append", default=[], metavar="WARC", help="web archives of pages ...")
    command.add_argument("--truth", metavar="PARQUET", help="... and their reference texts, by url")
    command.add_argument("--unread", action="append", default=[], metavar="WARC", help="pages without such a text")
    command.add_argument(
        "--teacher", action="store_true", help="boosted trees say how likely noise each line is (extra `train`)"
    )
    command.add_argument(
        "--texts", action="append", default=[], metavar="PARQUET", help="texts for the teacher to label"
    )
    command.add_argument("--minutes", type=float, default=18.0, metavar="N", help="of CPU time (default 18)")
    command.add_argument("--steps", type=int, metavar="N", help="so many, whatever time they take")
    command.add_argument("--seed", type=int, default=1, metavar="S", help="default 1")
    command.add_argument("--start", metavar="ENGINE", help="a refiner to go on from (transformers:headrace-refiner)")
    command.add_argument("--annotator", metavar="ENGINE", help="a model that labels texts of --annotate")
    command.add_argument("--annotate", action="append", default=[], metavar="PARQUET", help="texts for the annotator")
    command.add_argument("--sample", type=int, default=500, metavar="N", help="how many of them (default 500)")
    command.add_argument("--annotator-format", metavar="FORMAT", help="of a refiner; a chat model needs none")
    _json(command)


def train_refiner_command(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: more threads are slower at this size
    from pipelines.train import Labels, annotated_documents, as_text, train_refiner  # noqa: PLC0415 - torch takes long
    from stages.models.refiner.train import Settings  # noqa: PLC0415

    _at_least(arguments, sample=1, seed=0)
    if bool(arguments.annotator) != bool(arguments.annotate):
        raise ConfigError("--annotator and --annotate go together: a model, and texts that it is to label")
    if not 0 < arguments.minutes < float("inf"):
        raise ConfigError(f"--minutes should be a number above 0, got {arguments.minutes:g}")
    if arguments.steps is not None:
        _at_least(arguments, steps=1)
    if arguments.seed >= 1 << 63:
        raise ConfigError(f"--seed should be below 2**63, got {arguments.seed}")
    if arguments.texts and not arguments.teacher:
        raise ConfigError("--texts are for a teacher to label: give --teacher too")
    if arguments.teacher and importlib.util.find_spec("sklearn") is None:
        raise ConfigError("--teacher needs scikit-learn, which is not installed: pip install 'headrace[train]'")
    if arguments.start == "":
        raise ConfigError("--start is empty: give a refiner's folder, or leave it out")

    labelled: list[Any] = []
    if arguments.annotator:
        labelled, rejected = annotated_documents(
            arguments.annotator, arguments.annotate, arguments.sample, arguments.annotator_format
        )
        _tell(f"annotator: {len(labelled)} documents, rejected {rejected}")
    settings = Settings(
        arguments.minutes, arguments.steps, arguments.seed, teacher=arguments.teacher, start=arguments.start
    )
    labels = Labels(
        arguments.input, arguments.pages, arguments.truth, arguments.unread, arguments.texts, annotated=labelled
    )
    found = train_refiner(arguments.output, labels, settings, tell=_tell)
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


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
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def scaling_command(arguments: argparse.Namespace) -> int:
    from pipelines.scaling import as_text, scaling  # noqa: PLC0415 - only this command needs it

    _at_least(arguments, terms=1)
    found = scaling(arguments.points, arguments.terms, arguments.target)
    say(json.dumps(found) if arguments.json else as_text(found))
    return 0


def _tell(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)


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


TRAINERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "refiner": train_refiner_command,
    "fasttext": train_fasttext_command,
}
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "probe": probe_command,
    "train": train_command,
    "scaling": scaling_command,
}
