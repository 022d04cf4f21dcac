"""The command line: every command with its options."""

import argparse

from cluster.signals.log import FORMATS
from pipelines.model_commands import add_commands
from pipelines.printing import Arguments

RUN_EPILOG = """examples:
  headrace run web --input crawl.warc.gz --output out
  headrace run web --input s3://commoncrawl/crawl-data/.../warc/ --output s3://bucket/web --runner ray
  headrace run web --input in/ --output out --set ExtractText.engine=resiliparse --set Language.languages=[en,de]
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole program."""
    program = Arguments(
        prog="headrace", description="The web in, training data out. Exit status: 0 done, 1 failed, 2 nothing started."
    )
    commands = program.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a recipe, or go on with it",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _recipe(run)
    _execution(run)
    submit = commands.add_parser("submit", help="the same run as a Ray job; logs are followed")
    _recipe(submit)
    _execution(submit)
    submit.add_argument("--submission-id", help="name of the job, so that submitting twice is one job")
    submit.add_argument("--no-wait", action="store_true", help="return once the job is accepted")
    plan = commands.add_parser("plan", help="what would run; starts nothing")
    _recipe(plan, output=False)
    plan.add_argument("--sample", type=int, metavar="N", help="run N shards and extrapolate cost, time and size")
    plan.add_argument("--ledger", metavar="URL", help="keep what models answer to the sample for the run itself")
    plan.add_argument("--workers", type=int, metavar="N", help="workers to reckon with (default 1)")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    for name, what in (
        ("status", "shards done, running, failed; rows by outcome, rate, ETA"),
        ("report", "write OUTPUT/report.html"),
        ("explain", "where a row came from, every stage's verdict, every edit, what it duplicates"),
        ("replay", "dead rows once more, after a fix"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("output", metavar="OUTPUT", help="what `run --output` was given")
        if name == "explain":
            command.add_argument("id", metavar="DOC_ID", help="id of the row")
        if name != "report":
            command.add_argument("--json", action="store_true", help="print one JSON object")
    audit = commands.add_parser("audit", help="plant known copies among documents and count which a recipe finds")
    audit.add_argument("recipe", metavar="RECIPE", help="the recipe to test: dedup")
    audit.add_argument(
        "--input", action="append", default=[], metavar="URL", help="Parquet to draw documents from (default: made up)"
    )
    audit.add_argument("--documents", type=int, default=4000, metavar="N", help="how many (default 4000)")
    audit.add_argument("--seed", type=int, default=0, metavar="S", help="which are drawn and copied (default 0)")
    audit.add_argument("--set", action="append", default=[], metavar="STAGE.SETTING=VALUE", help="change a setting")
    audit.add_argument("--json", action="store_true", help="print one JSON object")
    add_commands(commands)
    commands.add_parser("recipes", help="the recipes: their steps and stages")
    stages = commands.add_parser("stages", help="the stages: settings, defaults and where they come from")
    stages.add_argument("name", nargs="?", help="one stage, in full")
    return program


def _recipe(command: argparse.ArgumentParser, output: bool = True) -> None:
    command.add_argument("recipe", metavar="RECIPE", help="a recipe's name (see `headrace recipes`) or a .yaml file")
    command.add_argument(
        "--input", action="append", metavar="URL", help="file, folder or glob, any fsspec URL; may be given often"
    )
    command.add_argument("--set", action="append", default=[], metavar="STAGE.SETTING=VALUE", help="change a setting")
    command.add_argument("--config", metavar="FILE.yaml", help="the options of this command from a file")
    if output:
        command.add_argument("--output", metavar="URL", help="folder to write to; a run goes on with what is there")


def _execution(command: argparse.ArgumentParser) -> None:
    command.add_argument("--runner", choices=("local", "ray"), help="this process (default), or Ray")
    command.add_argument(
        "--workers", type=int, metavar="N", help="most workers at once (default: what the cluster has)"
    )
    command.add_argument(
        "--address", metavar="ADDR", help="address of a Ray cluster (default: RAY_ADDRESS, else start one)"
    )
    command.add_argument(
        "--fresh", action="store_true", default=None, help="delete what the output holds and start over"
    )
    command.add_argument(
        "--redo", action="append", metavar="STEP", help="do this step and those behind it again; may be given often"
    )
    command.add_argument(
        "--memory", metavar="SIZE", help="what a process of a dedup may take, such as 4GB (default 2GiB)"
    )
    command.add_argument(
        "--ledger", metavar="URL", help="where models' answers are kept, for several runs (default OUTPUT/ledger)"
    )
    command.add_argument(
        "--stuck-after",
        type=float,
        metavar="SECONDS",
        help="a worker that tells nothing for so long is ended, and the row it was at found (default 1800; with Ray)",
    )
    command.add_argument("--max-dead", type=float, metavar="FRACTION", help="dead rows allowed (default 0.001)")
    command.add_argument(
        "--no-removed-text",
        dest="removed_text",
        action="store_false",
        default=None,
        help="leave the text out of removed/",
    )
    command.add_argument("--json", action="store_true", default=None, help="print run.json as the last line")
    command.add_argument("--log-format", choices=FORMATS, help="the log, on stderr: text (default), or json")
    command.add_argument(
        "--otel", action="store_true", default=None, help="send traces and metrics to OTEL_EXPORTER_OTLP_ENDPOINT"
    )
