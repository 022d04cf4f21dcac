"""Inputs and the output of a run are apart: it would read what it writes, and --fresh would delete what it reads."""

import os

from fsspec.implementations.local import LocalFileSystem

from cluster.storage import address, locate


def overlaps(inputs: list[str], output: str) -> list[str]:
    """A fault for each of `inputs` that is empty, inside `output`, or a folder that has `output` in it."""
    faults = [f"input {url!r}: is empty" for url in inputs if not url.strip()]
    if any("\ud800" <= letter <= "\udfff" for letter in output):
        return [*faults, f"output {output}: its name is not UTF-8, which a reader of Parquet could not open"]
    there = _place(output)
    for url in filter(str.strip, inputs):
        place = _place(url)
        if place.startswith(there):
            faults.append(f"input {url} is inside output {output}, which the run writes to: give another --output")
        elif there.startswith(place) and not there.removeprefix(place).startswith((".", "_")):  # hidden: not read
            faults.append(f"output {output} is inside input {url}: the next run would read it; give another --output")
    return faults


def _place(url: str) -> str:
    """The address of a folder, the same however it was written; links are followed on a disk."""
    filesystem, path = locate(url)
    if isinstance(filesystem, LocalFileSystem):
        path = os.path.realpath(path)
    return address(filesystem, path).rstrip("/") + "/"
