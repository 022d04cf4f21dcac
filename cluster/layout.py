"""The versions of what an output is made of, checked wherever it is read.

`step.json` says with which layout a step was made, and by which headrace; every manifest has a version of its own. What
is older is read as long as OLDEST says so. What is newer is refused, and so is what is too old, with the way out.
"""

import json
from typing import Any

from cluster import VERSION as PROGRAM
from cluster.errors import ConfigError
from cluster.storage import Folder

VERSION = 1  # of the layout that step.json describes
OLDEST = 1  # that is still read: what version 1 has gained since is optional
OURS = {"recipe", "fingerprint", "identity", "inputs"}  # what makes a step.json one of headrace's


def read_step(folder: Folder, name: str) -> dict[str, Any] | None:
    """The step.json of a step; None if there is none, or it is nobody's we know. `ConfigError` if it cannot be read."""
    where = f"{folder.url}/{name}/step.json"
    try:
        found = json.loads(folder.get(f"{name}/step.json"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(found, dict) or not (found.keys() >= OURS or "headrace" in _versions(found)):
        return None
    return found


def check_layout(found: dict[str, Any], where: str) -> None:
    """Raise `ConfigError` if a step was made with a layout that this program does not read."""
    _check(found, where, VERSION, OLDEST)


def check_step(found: dict[str, Any], where: str) -> None:
    """Raise `ConfigError` if that is so, or if its step.json has lost what a run that goes on needs."""
    check_layout(found, where)
    if missing := OURS - found.keys():
        raise ConfigError(f"{where}: {', '.join(sorted(missing))} is not in it")


def check_version(data: bytes, where: str, known: int) -> None:
    """Raise `ConfigError` if the JSON of `data` is of another version than `known`."""
    try:
        found = json.loads(data)
    except ValueError:
        return
    if isinstance(found, dict):
        _check(found, where, known, known)


def _check(found: dict[str, Any], where: str, newest: int, oldest: int) -> None:
    version = found.get("version")
    by = _versions(found).get("headrace")
    if isinstance(version, int) and oldest <= version <= newest:
        return
    made = f"{where}: of version {version!r}" + (f", made by headrace {by}" if by else "")
    if isinstance(version, int) and version > newest:
        need = f"headrace {by} or later" if by else "the headrace that step.json names, or a later one"
        raise ConfigError(
            f"{made}; this is headrace {PROGRAM}, which reads versions up to {newest}\n"
            f"  go on with {need}, or give another --output, or --fresh to start over"
        )
    raise ConfigError(
        f"{made}; this is headrace {PROGRAM}, which reads versions from {oldest} on\n"
        f"  end it with {f'headrace {by}' if by else 'the headrace that made it'}, take its Parquet as the --input of "
        "another run, or --fresh to start over"
    )


def _versions(found: dict[str, Any]) -> dict[str, Any]:
    versions = found.get("versions")
    return versions if isinstance(versions, dict) else {}
