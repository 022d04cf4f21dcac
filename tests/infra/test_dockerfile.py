"""The Dockerfile without Docker: its form, what is in its context, and that the copied files make the whole program.

No daemon is asked. hadolint checks it too where it is installed.
"""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.render import INFRA, pods_of, rendered

ROOT = INFRA.parent
DOCKERFILE = (INFRA / "Dockerfile").read_text()
STEPS = re.findall(r"^([A-Z]+) (.*)$", re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)), re.MULTILINE)
TARGETS = ("cpu", "gpu")


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Name -> (what it is built from, its instructions)."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for word, rest in STEPS:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = base, []
        elif name:
            found[name][1].append((word, rest))
    return found


def final(target: str) -> list[tuple[str, str]]:
    """Every instruction that made a layer of `target`."""
    base, steps = stages()[target]
    return [*(final(base) if base in stages() else []), *steps]


def copied(steps: list[tuple[str, str]]) -> list[str]:
    """What is copied from the context."""
    copies = [rest.split() for word, rest in steps if word == "COPY" and not rest.startswith("--from")]
    return [source for *sources, _ in copies for source in sources]


def test_base_is_pinned_and_one_for_all() -> None:
    assert [rest for word, rest in STEPS if word == "ARG"] == ["PYTHON=python:3.11.14-slim-bookworm"]
    bases = {base for base, _ in stages().values()} - stages().keys()
    assert bases == {"${PYTHON}"}


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_as_somebody_and_build_nothing(target: str) -> None:
    steps = final(target)
    assert steps[-1] == ("USER", "1000:1000")  # a number: Kubernetes cannot know a name's
    for word, rest in steps:
        assert word in ("RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD", "USER"), word
        assert not re.search(r"pip3? install|apt-get|curl|wget|gcc|sudo|chmod 777", rest), rest
        assert not re.search(r"(?i)(secret|password|token|key)=", rest), rest
    assert any("pip uninstall" in rest for word, rest in steps if word == "RUN")
    assert ("COPY", f"--from=build-{target} /packages /usr/local") in steps


def test_everything_is_installed_at_its_pin_and_as_a_wheel() -> None:
    installs = [rest for word, rest in STEPS if word == "RUN" and "pip install" in rest]
    assert len(installs) == len(TARGETS)
    assert all("--constraint constraints.txt" in rest and "--only-binary :all:" in rest for rest in installs)
    assert all("PIP_NO_CACHE_DIR=1" in rest for word, rest in stages()["build"][1] if word == "ENV")


def test_context_is_what_is_copied_and_no_more() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    needed = {source for _, steps in stages().values() for source in copied(steps)}
    assert allowed == needed
    assert all((ROOT / source).exists() for source in needed)
    assert any(fnmatch.fnmatch("stages/__pycache__", line) for line in lines[1:])


def test_hooks_are_where_the_manifests_look_for_them() -> None:
    ((*scripts, folder),) = [rest.split() for word, rest in final("cpu") if word == "COPY" and "prestop" in rest]
    there = {folder + Path(script).name for script in scripts}
    manifests = rendered(INFRA / "overlays" / "eks")
    asked = {c["lifecycle"]["preStop"]["exec"]["command"][1] for pod in pods_of(manifests) for c in pod["containers"]}
    entrypoints = " ".join(str(manifest.get("spec")) for manifest in manifests if manifest["kind"] == "RayCronJob")
    assert asked | set(re.findall(r"/opt/\S+\.py", entrypoints)) == there


@pytest.mark.slow
def test_the_files_of_the_context_make_the_program(tmp_path: Path) -> None:
    """The install step on a copy of the context, without what it depends on, run from elsewhere."""
    pytest.importorskip("setuptools")
    context = tmp_path / "src"
    for source in copied(stages()["build"][1]):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, context / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            context.mkdir(exist_ok=True)
            shutil.copy(ROOT / source, context / source)
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--no-compile", "--target", str(packages), "."], check=True, cwd=context)
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(packages), "HOME": str(tmp_path / "home")}
    code = (
        "import pipelines, sys; from pipelines.cli import main; print(pipelines.__file__); sys.exit(main(['recipes']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path / "home", env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(packages))
    assert "web: Common Crawl" in done.stdout
    code_files = {
        f.relative_to(ROOT) for room in ("pipelines", "stages", "cluster", "schemas") for f in (ROOT / room).rglob("*")
    }
    data = {f for f in code_files if (ROOT / f).is_file() and f.suffix not in (".pyc", ".md")}
    assert {f for f in data if not (packages / f).exists()} == set()


def test_hadolint_agrees() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here")
    done = subprocess.run([hadolint, str(INFRA / "Dockerfile")], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
