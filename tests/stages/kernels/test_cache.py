"""The compiled kernels on disk: made once, by several processes at a time, beside no code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import stages
from stages.kernels import cache_folder

ROOT = Path(stages.__file__).parents[1]
SIGN = """
import numpy as np
from stages.kernels.minhash import mix
print(mix(np.uint64(1)), sum(mix.stats.cache_hits.values()))
"""


def start(package: Path, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SIGN]
    return subprocess.Popen(command, cwd=package, env=environment, stdout=subprocess.PIPE, text=True)


def answers(*processes: subprocess.Popen) -> list[list[str]]:
    return [process.communicate(timeout=120)[0].split() for process in processes]


def test_several_processes_fill_one_cache_and_the_next_one_compiles_nothing(tmp_path):
    package, cache = tmp_path / "package", tmp_path / "cache"
    for name in ("__init__.py", "kernels/__init__.py", "kernels/fold.py", "kernels/minhash.py"):
        (package / "stages" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "stages" / name, package / "stages" / name)
    for folder in (package / "stages" / "kernels", package / "stages"):
        folder.chmod(0o555)
    before = sorted(package.rglob("*"))
    mixed = "12994781566227106604"  # MurmurHash3's fmix64(1)
    assert [answer[0] for answer in answers(*(start(package, cache) for _ in range(3)))] == [mixed] * 3
    assert answers(start(package, cache)) == [[mixed, "1"]]
    assert sorted(package.rglob("*")) == before
    assert len(list(cache.iterdir())) == 1
    for folder in (package / "stages" / "kernels", package / "stages"):
        folder.chmod(0o755)
    with (package / "stages" / "kernels" / "fold.py").open("a") as file:
        file.write("\n# changed\n")
    assert answers(start(package, cache)) == [[mixed, "0"]]


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_folder().parent == tmp_path / "chosen"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder().parent == tmp_path / "cache" / "headrace" / "numba"
    assert cache_folder() == cache_folder()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    assert cache_folder().parent == tmp_path / "tmp" / f"headrace-numba-{os.getuid()}"


def test_kernels_release_the_lock():
    from stages.kernels.minhash import sign_all

    assert sign_all.targetoptions["nogil"] is True
