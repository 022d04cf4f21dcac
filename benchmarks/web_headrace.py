"""Our side of benchmarks/web.py: one run of the recipe `web` on the local runner, WARC to Parquet.

    python benchmarks/web_headrace.py ENGINE WARC OUTPUT [--lists FOLDER]

OUTPUT/stages.json: CPU seconds by stage, its sandbox included; a source's are reading, writing and committing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cluster.commit import read_manifests
from cluster.local import LocalRunner
from cluster.plan import make_plan
from cluster.run import Options, run
from cluster.shards import list_inputs
from cluster.storage import Folder
from pipelines.config import configure
from pipelines.web import web
from stages.stage import name_of
from stages.url_filter import LISTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("warc", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--lists", type=Path, help="folder of block lists in place of our own")
    arguments = parser.parse_args()
    settings: dict[str, dict[str, Any]] = {"ExtractText": {"engine": arguments.engine}}
    if arguments.lists:
        settings["UrlFilter"] = {name: str(arguments.lists / f"{name}.txt") for name in LISTS}
    plan = make_plan(configure(web(), settings), list_inputs([str(arguments.warc)]))
    run(plan, str(arguments.output), LocalRunner(), Options(quiet=True, max_dead=1.0))
    seconds: dict[str, float] = {}
    for planned in plan.steps:
        source = f"{name_of(planned.step.source)} and writing"
        for manifest in read_manifests(Folder(f"{arguments.output}/{planned.name}")).values():
            spent = {name: cost.cpu_seconds for name, cost in manifest.stages.items()}
            for name, cost in {source: manifest.cpu_seconds - sum(spent.values()), **spent}.items():
                seconds[name] = seconds.get(name, 0.0) + cost
    (arguments.output / "stages.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
