"""`headrace train` and `probe`: what is wrong with their options is told before anything starts."""

from pathlib import Path

import pytest

from pipelines.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "refiner", "--output", "m", "--annotator", "openai:http://h/v1#m"], "--annotator and --annotate go"),
        (["train", "refiner", "--output", "m", "--minutes", "0"], "--minutes should be a number above 0, got 0"),
        (["train", "refiner", "--output", "m", "--minutes", "nan"], "--minutes should be a number above 0, got nan"),
        (["train", "refiner", "--output", "m", "--steps", "-3"], "--steps should be at least 1, got -3"),
        (["train", "refiner", "--output", "m", "--seed", "9" * 30], "--seed should be below 2**63, got 999"),
        (["train", "refiner", "--output", "m", "--start", ""], "--start is empty: give a refiner's folder"),
        (["train", "refiner", "--output", "m", "--pages", "a.warc.gz"], "--pages and --truth go together"),
        (["train", "refiner", "--output", "m", "--texts", "t"], "--texts are for a teacher to label: give --teacher"),
        (["train", "refiner", "--output", "m", "--sample", "0"], "--sample should be at least 1, got 0"),
        (["train", "fasttext", "--label", "kind", "--output", "m.bin"], "no input: give --input"),
        (["train", "fasttext", "--label", "k", "--output", "m", "--input", "x", "--epoch", "0"], "--epoch should be"),
        (["probe", "--documents", "0", "--input", "x"], "--documents should be at least 1, got 0"),
        (["probe"], "no input: give --input"),
    ],
)
def test_options(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "refiner" in words:
        pytest.importorskip("torch")
    assert main(words) == 2
    assert message in capsys.readouterr().err
