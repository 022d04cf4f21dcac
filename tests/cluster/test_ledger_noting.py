"""An answer is in the journal before anything else is asked in its place, however long the ledger's storage takes."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.answers.store import Store
from cluster.ledger import UNWRITTEN, Ledger
from stages.models.ask import open_asker
from stages.models.engine import Keeping, Prompt, Request, Sampling
from stages.models.ledger import Noting
from stages.models.spec import parse
from tests.stages.models.misbehaving import Script, Server

CONCURRENCY, PROMPTS = 4, 120


def test_no_more_is_paid_and_not_kept_than_is_asked_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    book, noted, unkept = Ledger(str(tmp_path / "ledger"), "rate"), set[bytes](), list[int]()
    go_on, real, write = threading.Event(), book.note, Store.write

    def note(key: bytes, value: bytes) -> None:
        real(key, value)
        noted.add(key)

    def answer(prompt: str) -> str:
        """Called by the server for each request, in turn: those before it were paid for."""
        unkept.append(len(unkept) - len(noted))
        if len(unkept) == UNWRITTEN + CONCURRENCY:  # the ledger has been waiting for its store for long
            go_on.set()
        return prompt.upper()

    def slow(self: Store, *arguments: Any, **options: Any) -> str:
        assert go_on.wait(60)
        return write(self, *arguments, **options)

    monkeypatch.setattr(book, "note", note)
    monkeypatch.setattr(Store, "write", slow)
    with Server(Script(answer=answer)) as server:
        spec = parse(server.engine(concurrency=CONCURRENCY), "test")
        asker = open_asker(spec, spec.model_id, book)
        assert isinstance(asker.engine, Keeping)
        assert isinstance(book, Noting)
        asker.ask([Request(Prompt(text=f"prompt {n}"), Sampling(max_tokens=9)) for n in range(PROMPTS)])
        asker.engine.close()
    assert len(unkept) == len(noted) == PROMPTS
    assert max(unkept) < CONCURRENCY
