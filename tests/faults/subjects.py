"""What kill schedules are played on: recipes with an input, a command line, and what of theirs can be killed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.forks import ROOT
from tests.stages.models.misbehaving import Script, Server

SAMPLE = ROOT / "tests" / "data" / "sample.warc.gz"


class Subject(Protocol):
    """A recipe over an input."""

    name: str
    warm: str  # what the parent of forked drivers is to have loaded (forks.py)
    victims: dict[str, Sequence[str]]  # by runner; named more often, drawn more often

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def command(self, output: Path, runner: str) -> list[str]: ...

    def reset(self) -> None: ...

    def vanish(self) -> None: ...

    def come_back(self) -> None: ...


class Web:
    """The whole `web` recipe over half of the bundled sample and a copy of it: each page has a duplicate."""

    name = "web"
    warm = "web"
    victims: ClassVar[dict[str, Sequence[str]]] = {
        "local": ("driver",),
        "ray": ("driver", "worker", "worker", "raylet", "gcs"),
    }

    def __init__(self, folder: Path) -> None:
        self._input = folder / "in"
        self._input.mkdir(exist_ok=True)
        archive = SAMPLE.read_bytes()
        half = archive[: archive.index(b"\x1f\x8b\x08", len(archive) // 2)]  # where a record begins
        for name in ("a", "b"):
            (self._input / f"{name}.warc.gz").write_bytes(half)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def command(self, output: Path, runner: str) -> list[str]:
        return [
            "run", "web", "--input", str(self._input), "--output", str(output), *_runner(runner), "--max-dead", "0.01",
            "--set", "ReadWarc.piece_bytes=45000", "--set", "ExtractText.engine=resiliparse",
        ]  # fmt: skip

    def reset(self) -> None:
        return None

    vanish = come_back = reset


class Entigraph:
    """`entigraph` over 10 documents, on a server of which one answer in ten goes wrong, and that refuses one document.

    On Ray its clients are in workers of their own, which hold a GPU as a model would.
    """

    name = "entigraph"
    warm = "entigraph"
    victims: ClassVar[dict[str, Sequence[str]]] = {
        "local": ("driver", "driver", "server"),
        "ray": ("driver", "worker", "asking", "server"),
    }

    def __init__(self, folder: Path) -> None:
        self._input = folder / "in"
        self._input.mkdir(exist_ok=True)
        for part in range(5):
            names = [f"doc{2 * part + k:02d}" for k in range(2)]
            texts = pa.array([f"{name} stands by the water. " * 3 for name in names], pa.large_string())
            pq.write_table(pa.table({"id": names, "text": texts}), self._input / f"{part}.parquet")
        self._away = False
        self._server = Server(
            Script({"doc07": ("400:message=never",)}, answer=answer, share=0.1, latency=0.03, seed=1)
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def command(self, output: Path, runner: str) -> list[str]:
        engine = self._server.engine(concurrency=8, tables=2, gpus=0.5 if runner == "ray" else 0.0, memory_gb=0.5)
        sets = [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
        return [
            "run", "entigraph", "--input", str(self._input), "--output", str(output), *_runner(runner), "--max-dead",
            "0.5", *sets, "--set=ShareBudget.budget=90",
        ]  # fmt: skip

    def reset(self) -> None:
        self.come_back()

    def vanish(self) -> None:
        if not self._away:
            self._away = True
            self._server.vanish()

    def come_back(self) -> None:
        if self._away:
            self._away = False
            self._server.come_back()


class Refine:
    """`refine` with the refiner that headrace brings, over the lines of the bundled sample's kept pages."""

    name = "refine"
    warm = "refine"
    victims: ClassVar[dict[str, Sequence[str]]] = {"local": ("driver",), "ray": ("driver", "worker", "asking")}

    def __init__(self, folder: Path) -> None:
        self._input = folder / "in"
        self._input.mkdir(exist_ok=True)
        for part in range(6):
            names = [f"page{2 * part + k:02d}" for k in range(2)]
            texts = pa.array([page(name) for name in names], pa.large_string())
            pq.write_table(pa.table({"id": names, "text": texts}), self._input / f"{part}.parquet")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def command(self, output: Path, runner: str) -> list[str]:
        engine = "transformers:headrace-refiner" + ("?gpus=0.5&device=cpu&memory_gb=1" if runner == "ray" else "")
        return [
            "run", "refine", "--input", str(self._input), "--output", str(output), *_runner(runner),
            "--set=ProxDocument.engine=null", f"--set=ProxChunks.engine={engine}",
        ]  # fmt: skip

    def reset(self) -> None:
        return None

    vanish = come_back = reset


def page(name: str) -> str:
    """A page as extraction leaves it: a menu, some sentences, what belongs to no text."""
    about = [f"The mill of {name} takes its water from the river, which has {i} arms." for i in range(4)]
    return "\n".join(["Home | About | Contact", "Log in", *about, "Share this on Facebook", "Copyright 2024"])


def answer(prompt: str) -> str:
    """Five names for a document; a section that names what was asked for."""
    content, _, names = prompt.partition("\n\n### Entities:\n")
    word = content.split()[3]
    if names:
        return "### Discussion\n" + names.replace("- ", "On ") + f". {word} is old."
    return json.dumps({"summary": f"Of {word}.", "entities": [f"{word} name {i}" for i in range(5)]})


def _runner(runner: str) -> list[str]:
    return ["--runner", runner, *(["--workers", "2"] if runner == "ray" else [])]


SUBJECTS = {"web": Web, "entigraph": Entigraph, "refine": Refine}
