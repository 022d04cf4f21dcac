"""The same run as a Ray job: the code travels with it, the logs come back, the job outlives this terminal."""

import asyncio
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.errors import ConfigError, first_line

# What a worker needs and nothing else; anything not listed here does not leave this machine.
SHIPPED = ("pipelines", "stages", "cluster", "schemas")
DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def submit(options: dict[str, Any], *, wait: bool, submission_id: str | None) -> int:
    """Submit `headrace run` with `options` to the cluster's job server; the exit status is the job's.

    Ctrl-C stops following, not the job. Paths of inputs and outputs are read on the cluster.
    """
    address = options["address"] or DEFAULT_ADDRESS
    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray job server at {address}: {first_line(error)}") from error
    with tempfile.TemporaryDirectory(prefix="headrace-submit-") as folder:
        recipe = stage_code(Path(folder), options["recipe"])
        try:
            job = client.submit_job(
                entrypoint=shlex.join(entrypoint({**options, "recipe": recipe})),
                runtime_env={"working_dir": folder},
                submission_id=submission_id,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"the job was not accepted: {first_line(error)}") from error
    print(f"submitted {job} to {address}", file=sys.stderr)  # noqa: T201 - the log of a run is its stderr
    if not wait:
        print(job)  # noqa: T201 - the answer
        return 0
    try:
        asyncio.run(_follow(client, job))
    except KeyboardInterrupt:
        print(  # noqa: T201 - the log of a run is its stderr
            f"\n{job} goes on; stop it with: ray job stop --address {address} {job}", file=sys.stderr
        )
        return 130
    status = client.get_job_status(job)
    if status == JobStatus.SUCCEEDED:
        return 0
    info = client.get_job_info(job)
    print(f"headrace: job {job} ended as {status}: {info.message}", file=sys.stderr)  # noqa: T201 - as above
    return info.driver_exit_code if info.driver_exit_code in (1, 2) else 1


def entrypoint(options: dict[str, Any]) -> list[str]:
    """The command that the job runs: this one, on Ray, with everything spelled out."""
    command = ["python", "-m", "pipelines", "run", options["recipe"], "--runner", "ray", "--output", options["output"]]
    for url in options["input"]:
        command += ["--input", url]
    for stage, settings in options["set"].items():
        for name, value in settings.items():
            text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            command += ["--set", f"{stage}.{name}={text}"]
    if options["workers"] is not None:
        command += ["--workers", str(options["workers"])]
    command += ["--max-dead", str(options["max_dead"]), "--memory", str(options["memory"])]
    command += ["--stuck-after", str(options["stuck_after"])] if options.get("stuck_after") is not None else []
    command += [flag for flag, on in (("--fresh", options["fresh"]), ("--json", options["json"])) if on]
    command += [word for step in options.get("redo", ()) for word in ("--redo", step)]
    command += ["--ledger", options["ledger"]] if options.get("ledger") else []
    command += ["--log-format", options["log_format"]] if options.get("log_format", "text") != "text" else []
    command += ["--otel"] if options.get("otel") else []
    return command if options["removed_text"] else [*command, "--no-removed-text"]


def stage_code(folder: Path, recipe: str) -> str:
    """Copy the project's packages, and the recipe if it is a file, to `folder`; return the recipe's name there.

    A copy, so that the same files travel from a checkout and from an installed package, and nothing beside them.
    """
    root = Path(__file__).resolve().parents[1]
    for package in SHIPPED:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    if not recipe.endswith((".yaml", ".yml")) or not Path(recipe).is_file():  # a file may be called `web`
        return recipe
    shutil.copy(recipe, folder / Path(recipe).name)
    return Path(recipe).name


async def _follow(client: JobSubmissionClient, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)  # noqa: T201 - the job's own output
