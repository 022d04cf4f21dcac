"""The rooms of the house and the arrows between them, read from the code itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
import pipelines
import schemas
import stages

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("pipelines", "stages", "cluster", "schemas")
FILES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
STDLIB = sys.stdlib_module_names
TRIED_APART = ("trial.py", "stages.sandbox")  # a process that may be lost is the same for a document and a table
MAX_LINES, MAX_FUNCTION_LINES = 400, 60


def inside(*folders: str) -> list[Path]:
    return [file for file in FILES if any(ROOT / folder in file.parents for folder in folders)]


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, those inside functions too; names that come from a package are modules maybe."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            yield node.lineno, str(node.module)
            if node.module in ROOMS:  # from stages import language
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def trespasses(files: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in files
        for line, module in imports(file)
        if module.partition(".")[0] in forbidden
    ]


def test_stages_know_no_runner_no_storage_and_no_recipe() -> None:
    assert trespasses(inside("stages"), ("ray", "fsspec", "s3fs", "cluster", "pipelines")) == []


def test_stages_know_no_clock() -> None:
    """Time limits are kept by the sandbox alone, which is a process of its own."""
    watchers = {ROOT / "stages" / name for name in ("sandbox.py", "zygote.py")}
    files = [file for file in inside("stages") if file not in watchers]
    assert trespasses(files, ("time", "datetime")) == []


def test_only_models_import_torch() -> None:
    files = [file for file in FILES if ROOT / "stages" / "models" not in file.parents]
    assert trespasses(files, ("torch", "transformers", "vllm")) == []


def test_only_the_cluster_imports_ray() -> None:
    assert trespasses(inside("pipelines", "stages", "schemas"), ("ray",)) == []


def test_schemas_import_pyarrow_alone() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in inside("schemas")
        for line, module in imports(file)
        if module.partition(".")[0] not in {*STDLIB, "pyarrow", "schemas"}
    ]
    assert wrong == []


def test_the_cluster_knows_of_stages_only_the_contract() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in inside("cluster")
        for line, module in imports(file)
        if module.partition(".")[0] == "pipelines"
        or (module.startswith("stages") and module != "stages.stage" and (file.name, module) != TRIED_APART)
    ]
    assert wrong == []


def test_nothing_in_the_house_imports_its_tests() -> None:
    assert trespasses(FILES, ("tests", "benchmarks", "pytest")) == []


@pytest.mark.parametrize("package", [cluster, pipelines, schemas, stages], ids=lambda p: p.__name__)
def test_the_packages_are_ours(package: object) -> None:
    """Their names are plain on purpose; another package of that name must not come first."""
    assert Path(str(package.__file__)).resolve().parent == ROOT / package.__name__  # type: ignore[attr-defined]


def test_files_and_classes_are_named_by_what_they_hold() -> None:
    assert [f for f in FILES if f.stem in ("utils", "util", "base", "common", "helpers", "helper", "misc")] == []
    classes = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Handler", "Processor", "Helper"))
    ]
    assert classes == []


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_every_file_says_what_it_is() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in FILES
        if file.read_text(encoding="utf-8").strip() and not ast.get_docstring(ast.parse(file.read_text("utf-8")))
    ]
    assert silent == []


def test_imports_are_read_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\ndef f():\n    import ray.data as d\n    from stages import language\n")
    assert list(imports(tmp_path / "a.py")) == [(1, "os"), (3, "ray.data"), (4, "stages"), (4, "stages.language")]
