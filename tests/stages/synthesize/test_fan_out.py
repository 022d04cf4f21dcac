"""One document fans out to 10,660 prompts, each with its whole text; memory stays as it was with a hundred."""

import subprocess
import sys

TEXT_CHARS = 30_000
# 40 entities have 780 pairs and 9,880 triples. The engine looks at one request after the other, as a server's does.
RUN = """
import sys
import pyarrow as pa
from stages.models.ask import Asker
from stages.models.engine import Answer, Usage
from stages.models.spec import parse
from stages.synthesize.entigraph import EntiGraph

class Willing:
    def generate(self, requests):
        for number in range(len(requests)):
            names = requests[number].prompt.chat[1][1].partition("### Entities:")[2].replace("- ", "On ")
            yield number, Answer("### Discussion" + names, "stop", Usage(1, 1))

spec = parse("openai:http://localhost/v1#model", "test")
table = pa.table({
    "id": ["a"],
    "text": pa.array(["The mill stands. " * (%d // 17)], pa.large_string()),
    "entities": [[f"mill {i}" for i in range(40)]],
    "summary": pa.array(["About the mill."], pa.large_string()),
    "quota": [int(sys.argv[1])],
})
rows = EntiGraph(engine="openai:http://localhost/v1#model").write(table, Asker(spec, Willing(), "model"))
# Of this program alone: a process' `ru_maxrss` begins with the peak of the one that started it.
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(rows.num_rows, rows.column("drop_reason").null_count, peak)
"""


def peak_mb(quota: int) -> float:
    """Of a process that writes so many relations of one document."""
    done = subprocess.run(
        [sys.executable, "-c", RUN % TEXT_CHARS, str(quota)], check=True, capture_output=True, text=True
    )
    n_rows, kept, peak = map(int, done.stdout.split())
    assert n_rows == kept == quota + 1
    return peak / 1024


def test_memory_is_flat() -> None:
    few, many = peak_mb(100), peak_mb(10_660)
    assert many - few < 60, (few, many)  # the prompts together are 320 MB
