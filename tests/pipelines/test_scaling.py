"""`headrace scaling`: points to a law, and what is wrong with points."""

import json
from pathlib import Path

import pytest

from pipelines.cli import main


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "points.csv").write_text(text)
    return str(tmp_path / "points.csv")


def test_the_law_of_one_exponential(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = "tokens,accuracy\n" + "".join(f"{x},{50 - 20 * 0.9**x}\n" for x in (0, 1, 2, 5, 10, 20, 40))
    assert main(["scaling", written(tmp_path, points), "--terms", "1", "--target", "48", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["law"]["ceiling"] == pytest.approx(50, abs=0.01)
    assert found["law"]["rates"] == pytest.approx([0.9], abs=1e-3)
    assert found["tokens_for_target"] == pytest.approx(21.85, abs=0.1)  # 20 * 0.9^x = 2
    assert main(["scaling", written(tmp_path, points), "--terms", "1", "--target", "60"]) == 0
    text = capsys.readouterr().out
    assert "60 takes no number of tokens" in text
    assert "50 to 50" in text
    (double,) = [promise for promise in found["more"] if promise["tokens"] == 80]
    assert double["range"] == pytest.approx([50 - 20 * 0.9**80] * 2, abs=0.1)


def test_promises_of_few_points_have_no_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scaling", written(tmp_path, "tokens,accuracy\n0,0.3\n1,0.4\n3,0.45\n"), "--terms", "1"]) == 0
    assert "too few points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens,accuracy\n1,x\n2,3\n,4\n", "line 2: expected numbers in columns tokens and accuracy"),
        ("a,b\n1,2\n", "line 2: expected numbers in columns tokens and accuracy, found {'a': '1', 'b': '2'}"),
        ("tokens,accuracy\n1,101\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n", "accuracies from 0 to 100 or from 0 to 1"),
        ("tokens,accuracy\nnan,1\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n", "tokens should be at least 0"),
        ("", "no points: expected a CSV"),
        ("tokens,accuracy\n1,2\n2,3\n", "3 exponentials have 7 unknowns, and there are 2 amounts of tokens"),
    ],
)
def test_points_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    assert main(["scaling", written(tmp_path, text)]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scaling", "nowhere.csv"]) == 2
    assert "nowhere.csv: cannot be read" in capsys.readouterr().err
