"""What a model's folder says of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.refine.profile import RELEASED, Profile, read_profile
from stages.stage import StageError


def folder(path: Path, said: Any) -> Path:
    (path / "headrace.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return path


def test_settings_come_first_then_the_folder_then_the_released_models(tmp_path: Path) -> None:
    assert read_profile(None) == read_profile(tmp_path) == RELEASED == Profile(True, "llama2_sys", 1500, 256, 2048)
    there = folder(tmp_path, {"grammar": "strict", "prompt_format": "plain", "chunk_tokens": 300, "trained": "today"})
    assert read_profile(there) == Profile(False, "plain", 300, 256, 2048)
    assert read_profile(there, compat=True, chunk_tokens=None, context=512) == Profile(True, "plain", 300, 256, 512)


def test_a_file_that_cannot_be_understood_stops_the_run_with_every_fault(tmp_path: Path) -> None:
    there = folder(tmp_path, {"grammar": "loose", "prompt_format": "plane", "chunk_tokens": "many", "context": 0})
    with pytest.raises(StageError) as caught:
        read_profile(there)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/headrace.json: 'grammar' should be compat or strict, found 'loose'")
    for part in ("did you mean 'plain'", "'chunk_tokens' should be a number", "'context' should be a number"):
        assert part in message


@pytest.mark.parametrize(("said", "fault"), [("{", "Expecting"), ("[1]", "expected an object, found list")])
def test_a_broken_file_is_named(tmp_path: Path, said: str, fault: str) -> None:
    with pytest.raises(StageError, match=fault):
        read_profile(folder(tmp_path, said))
