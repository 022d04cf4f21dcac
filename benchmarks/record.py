"""One JSON line for a benchmark: printed, and kept under benchmarks/results/ with the machine and the date."""

import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("ray", "pyarrow", "polars", "datatrove", "trafilatura", "resiliparse", "fastwarc")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def record(name: str, figures: dict[str, Any]) -> None:
    """Print `figures` as one line and write them to results/<name>.json."""
    line = {
        "benchmark": name,
        **figures,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": {package: metadata.version(package) for package in PACKAGES},
    }
    text = json.dumps(line)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
