"""What is installed is what is pinned, all of it, and under licences that let the project be used as it says."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("", "dev", "bench", "models")
CUDA = re.compile(r"(?:nvidia|cuda)-.*|triton")  # torch's CUDA build brings these, and pins them itself
TOOLS = {"pip", "setuptools", "wheel", "headrace"}  # what installs, and what is installed
COPYLEFT = re.compile(r"\bA?GPL|GNU (?:Affero )?General Public", re.IGNORECASE)
# Weak copyleft is a library's own affair. What else has GPL in its name, and why it may be here:
LESSER = re.compile(
    r"\bLGPL|Lesser General Public|GPL-2\.0-with-classpath|with-GCC-exception|GCC-exception", re.IGNORECASE
)


def pins() -> dict[str, str]:
    """Versions by name from constraints.txt; anything but `name==version` fails."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, equals, version = line.partition("==")
            assert equals and version, f"constraints.txt: {line!r} pins nothing"
            found[canonicalize_name(name)] = version
    return found


def closure(extras: tuple[str, ...]) -> Iterator[metadata.Distribution]:
    """The distributions that `headrace[extras]` brings here, each once; those not installed are passed over."""
    waiting, seen = [("headrace", extras)], set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            there = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield there
        for text in there.requires or ():
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in wanted or ("",)]
            if needed.marker is None or any(needed.marker.evaluate(e) for e in environments):
                waiting.append((canonicalize_name(needed.name), ("", *sorted(needed.extras))))


def names(extras: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    found = {canonicalize_name(there.metadata["Name"]): there for there in closure(extras)}
    return {name: there for name, there in found.items() if name not in TOOLS}


@pytest.fixture(scope="module")
def installed() -> dict[str, metadata.Distribution]:
    try:
        metadata.distribution("headrace")
    except metadata.PackageNotFoundError:
        pytest.skip("headrace is not installed here, only run")
    return names(EXTRAS)


def test_all_that_is_installed_is_pinned(installed: dict[str, metadata.Distribution]) -> None:
    """The whole closure: a package that comes with another is code that runs as much as ours."""
    known = pins()
    there = {name: re.sub(r"\+.*", "", d.version) for name, d in installed.items()}  # torch's build is no version
    other = {name: version for name, version in there.items() if known.get(name) != version}
    assert {name: version for name, version in other.items() if not CUDA.fullmatch(name)} == {}


def test_requirements_that_installed_packages_have_are_met(installed: dict[str, metadata.Distribution]) -> None:
    """What `pip check` says, of the closure."""
    broken = []
    for name, there in installed.items():
        for text in there.requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            try:
                version = metadata.version(needed.name)
            except metadata.PackageNotFoundError:
                broken.append(f"{name} needs {needed.name}, which is not here")
                continue
            if not needed.specifier.contains(version, prereleases=True):
                broken.append(f"{name} needs {needed}, {version} is here")
    assert broken == []


def licence(there: metadata.Distribution) -> str:
    said = there.metadata
    classifiers = [c for c in said.get_all("Classifier") or () if c.startswith("License ::")]
    return said.get("License-Expression") or "; ".join(classifiers) or (said.get("License") or "")[:200]


def test_what_runs_is_under_no_strong_copyleft(installed: dict[str, metadata.Distribution]) -> None:
    """Of what a user gets, not of the tools of development. A choice that has a way out of it is one."""
    mine = names(("", "models"))
    strong = {
        name: licence(there)
        for name, there in mine.items()
        if COPYLEFT.search(LESSER.sub("", licence(there))) and not re.search(r"\bOR\b|MIT|BSD|Apache", licence(there))
    }
    assert strong == {}


def test_every_image_installs_by_the_pins() -> None:
    dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
    installs = re.findall(r"pip install .*", dockerfile)
    assert installs
    assert [line for line in installs if "--constraint constraints.txt" not in line] == []
    assert [line for line in installs if "--only-binary :all:" not in line] == []  # no setup.py of others runs


def test_nothing_is_installed_from_elsewhere() -> None:
    """No address of an index, a repository or a file in what is required."""
    project = (ROOT / "pyproject.toml").read_text()
    for text in (project, (ROOT / "constraints.txt").read_text()):
        assert not re.search(r"git\+|https?://|file:|--(?:extra-)?index-url|--trusted-host|--find-links", text)
