import http.server
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.language_thresholds import compute_thresholds, fineweb2_threshold, read_thresholds

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.8, 0.9, 1.0], 0.818),  # 0.9 - sqrt(0.02 / 3)
        ([0.5, 0.5, 0.7, 0.9], 0.434),  # 0.6 - sqrt(0.0275)
        ([0.99, 0.99, 0.99], 0.9),
        ([0.2, 0.4, 0.2], 0.3),
        ([0.6], 0.6),
    ],
)
def test_median_less_a_standard_deviation_within_limits(scores, expected):
    assert fineweb2_threshold(np.array(scores, np.float32)) == expected


def scored(*rows: tuple[str | None, float | None]) -> pa.Table:
    names, scores = zip(*rows, strict=True)
    return pa.table({"lang": pa.array(names, pa.string()), "lang_score": pa.array(scores, pa.float32())})


def test_each_language_over_all_tables():
    tables = [scored(("de", 0.8), ("ka", 0.6), (None, None)), scored(("de", 1.0), ("de", 0.9))]
    assert compute_thresholds(tables) == {"de": (0.818, 3), "ka": (0.6, 1)}


def test_command_counts_kept_and_dropped_rows_and_writes_what_is_read(tmp_path):
    for folder, rows in (("data", [("de", 0.9), ("de", 1.0)]), ("removed", [("de", 0.8), ("ka", 0.6)])):
        (tmp_path / "filter" / folder).mkdir(parents=True)
        pq.write_table(scored(*rows), tmp_path / "filter" / folder / "0.parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "filter" / "removed" / "1.parquet")
    csv = tmp_path / "thresholds.csv"
    command = [sys.executable, "-m", "stages.language_thresholds", "--to", str(csv)]
    done = subprocess.run([*command, str(tmp_path / "filter")], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == f"{csv}: 2 languages, 4 documents\n"
    assert csv.read_text() == "language,threshold,documents\nde,0.818,3\nka,0.6,1\n"
    assert read_thresholds(str(csv)) == {"de": 0.818, "ka": 0.6}
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr[:35]) == (2, "no rows with lang and lang_score in")


def test_json_and_csv_are_read(tmp_path):
    (tmp_path / "t.json").write_text('\ufeff {"deu_Latn": 0.82, "kat_Geor": 1}', encoding="utf-8")
    (tmp_path / "t.csv").write_text("threshold,language,note\n0.82,deu_Latn,x\n1,kat_Geor,\n")
    expected = {"deu_Latn": 0.82, "kat_Geor": 1.0}
    assert read_thresholds(str(tmp_path / "t.json")) == read_thresholds(str(tmp_path / "t.csv")) == expected


def test_a_url_is_read():
    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/t.csv" else 404)
            self.end_headers()
            self.wfile.write(b"language,threshold\nde,0.5\n")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            assert read_thresholds(f"{address}/t.csv") == {"de": 0.5}
            with pytest.raises(ValueError, match=r"cannot read thresholds from .*404"):
                read_thresholds(f"{address}/none.csv")
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(ValueError, match=r"cannot fetch thresholds from 's3://b/t\.csv': give a local path"):
        read_thresholds("s3://b/t.csv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "t should be CSV with the columns language, threshold, found ''"),
        ("lang,score\nde,0.5\n", "found 'lang, score'"),
        ("language,threshold\n", "t has no thresholds"),
        ("language,threshold\nde,0.5\nfr,high\n", "t line 3: .* found 'fr', 'high'"),
        ("language,threshold\nde,1.5\n", "t line 2: expected a language and a score of 0 to 1, found 'de', '1.5'"),
        ("language,threshold\nde\n", "found 'de', None"),
        ("language,threshold\nde,0.5\nde,0.6\n", "t line 3: 'de' is there twice"),
        ('{"de": 0.5, "de": 0.6}', "'de' is there twice"),
        ('{"de": true}', "found 'de', True"),
        ('{"de": NaN}', "found 'de', nan"),
        ('{"de": 0.5', "t is no JSON"),
        (b"\xff\xfe", "t is not UTF-8 text"),
    ],
)
def test_faults_are_told(tmp_path, text, fault):
    (tmp_path / "t").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=fault):
        read_thresholds(str(tmp_path / "t"))
