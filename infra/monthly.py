"""The entrypoint of the RayCronJob: the newest crawl below a folder, as an ordinary run with an output of its own.

    monthly.py s3://commoncrawl/crawl-data headrace run web --runner ray --config monthly.yaml

becomes that command with `--input .../CC-MAIN-2026-43/segments/*/warc/*.warc.gz` and `--output`, that of the config
with the crawl's name behind it. A crawl that has been done is found done, and the run ends at once.
"""

import os
import re
import sys
from pathlib import Path

import fsspec
import yaml

CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}")  # year and week: names sort by age
FILES = "segments/*/warc/*.warc.gz"
LISTING = "warc.paths.gz"  # the last that a crawl gets: while it is uploaded, its folder is there without


def main(arguments: list[str]) -> list[str]:
    """The command to carry out; `SystemExit` says what is missing."""
    if len(arguments) < 2 or "--config" not in arguments[1:-1]:
        raise SystemExit("monthly: usage: monthly.py FOLDER headrace run RECIPE ... --config FILE.yaml")
    folder, command = arguments[0].rstrip("/"), arguments[1:]
    config = command[command.index("--config") + 1]
    output = (yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}).get("output")
    if not isinstance(output, str):
        raise SystemExit(f"monthly: {config} should say 'output', the folder of all crawls; found {output!r}")
    name = newest(folder)
    return [*command, "--input", f"{folder}/{name}/{FILES}", "--output", f"{output.rstrip('/')}/{name}"]


def newest(folder: str) -> str:
    """Name of the newest crawl in `folder` that is complete."""
    storage, path = fsspec.core.url_to_fs(folder)
    entries: list[str] = [entry.rstrip("/").rpartition("/")[2] for entry in storage.ls(path, detail=False)]
    names = sorted((name for name in entries if CRAWL.fullmatch(name)), reverse=True)
    for name in names:
        if storage.exists(f"{path}/{name}/{LISTING}"):
            return name
    raise SystemExit(f"monthly: no crawl with a {LISTING} in {folder}; without one: {names or 'none'}")


if __name__ == "__main__":
    found = main(sys.argv[1:])
    sys.stderr.write(f"monthly: {' '.join(found)}\n")
    os.execvp(found[0], found)  # noqa: S606 - it becomes the run, whose exit status is the job's
