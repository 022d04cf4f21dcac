"""Who pays: the first row that asks, and of tables that ask the same at the same time the first one, if it can."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.ledger import Ledger as Book
from stages.models.ask import Asker, account
from stages.models.engine import Answer, Failure, Prompt, Request, Usage
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse

SPEC = parse("template:?prompt_price=1e6", "test")  # a dollar a token


class Upper:
    """Answers in capitals, ten tokens a prompt. What it `holds` waits, what it `breaks` on fails once."""

    labels: tuple[str, ...] = ()
    context: int | None = None

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.wait: dict[str, threading.Event] = {}
        self.reached: dict[str, threading.Event] = {}
        self.breaks: list[str] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        for number, request in enumerate(requests):
            text = request.prompt.text or ""
            self.asked.append(text)
            if text in self.reached:
                self.reached[text].set()
                assert self.wait[text].wait(60)
            if text in self.breaks:
                self.breaks.remove(text)
                raise ConnectionResetError(text)
            result = Failure("too long") if text == "long" else Answer(text.upper(), "stop", Usage(10, 1, 0.5))
            yield number, result

    def holds(self, text: str) -> None:
        """Stop at `text` until it is let go."""
        self.wait[text], self.reached[text] = threading.Event(), threading.Event()


def asker(engine: Upper, ledger: Ledger | None = None) -> Asker:
    return Asker(SPEC, engine, "m", ledger or Forgetful())  # type: ignore[arg-type]


def of(*texts: str) -> list[Request]:
    return [Request(Prompt(text=text)) for text in texts]


def told(results: list[Answer | Failure]) -> list[tuple[str, bool] | str]:
    return [(one.text, one.from_ledger) if isinstance(one, Answer) else one.error for one in results]


def test_of_equal_requests_the_first_row_pays() -> None:
    engine = Upper()
    mine = asker(engine)
    found = mine.ask(of("a", "b", "a", "long", "a", "long"))
    assert told(found) == [("A", False), ("B", False), ("A", True), "too long", ("A", True), "too long"]
    assert engine.asked == ["a", "b", "long"]
    entries = [account(mine, "Says", "", [one], "said") for one in found if isinstance(one, Answer)]
    assert [(entry["from_ledger"], entry["cost"]) for entry in entries] == [(0, 10.0), (0, 10.0), (1, 0.0), (1, 0.0)]
    assert [entry["prompt_tokens"] for entry in entries] == [10, 10, 10, 10]


def test_what_the_ledger_has_nobody_pays_for(tmp_path: Path) -> None:
    engine, book = Upper(), Book(str(tmp_path / "ledger"), "say")
    asker(engine, book).ask(of("a"))
    assert told(asker(engine, book).ask(of("a", "b", "a"))) == [("A", True), ("B", False), ("A", True)]
    assert engine.asked == ["a", "b"]
    book.close()


@pytest.mark.parametrize("kept", [True, False], ids=["ledger", "no-ledger"])
def test_tables_that_ask_the_same_at_the_same_time_pay_once(tmp_path: Path, kept: bool) -> None:
    engine = Upper()
    engine.holds("b")
    book = Book(str(tmp_path / "ledger"), "say") if kept else None
    mine = asker(engine, book)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(mine.ask, of("a", "b", "long"))
        assert engine.reached["b"].wait(60)
        engine.holds("c")
        second = threads.submit(mine.ask, of("c", "b", "long", "a"))
        assert engine.reached["c"].wait(60)  # it has its own asked before it waits for the first
        engine.wait["c"].set()
        engine.wait["b"].set()
        assert told(first.result(60)) == [("A", False), ("B", False), "too long"]
        assert told(second.result(60)) == [("C", False), ("B", True), "too long", ("A", True)]
    assert engine.asked == ["a", "b", "c", "long"]
    if book is not None:
        book.close()


def test_who_waits_asks_itself_when_the_first_one_fails() -> None:
    engine = Upper()
    engine.holds("b")
    engine.breaks = ["b"]
    mine = asker(engine)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(mine.ask, of("a", "b", "d"))
        assert engine.reached["b"].wait(60)
        others = [threads.submit(mine.ask, of("b", "d", "a")) for _ in range(2)]
        engine.wait["b"].set()
        with pytest.raises(ConnectionResetError):
            first.result(60)
        found = sorted(told(other.result(60)) for other in others)
    # One of them asks for what the first has left, the other has it of that one, or asks when it comes later.
    assert all([text for text, _ in one] == ["B", "D", "A"] for one in found)
    assert mine._flight._turns == {}
