"""Classes of failures, Retry-After, back-off, rate limits and the circuit: no server, a clock that is set by hand."""

import asyncio

import aiohttp
import orjson
import pytest

from stages.models.openai_faults import Again, Refused, Unsupported, of_body, of_exception, of_status, retry_after
from stages.models.openai_pace import Backoff, Bucket, Circuit, Slots
from stages.stage import StageError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# The classes of llm.md 4: retry {408, 409, 425, 429, 5xx}; this document fails {400, 413}; all stop {401, 403, 404}.
@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *[(s, "row") for s in (408, 409, 425, 500, 507, 520)],
        *[(s, "gone") for s in (502, 504)],
        *[(s, "busy") for s in (429, 503)],
        *[(s, "refused") for s in (400, 413, 422, 451)],
        *[(s, "stop") for s in (301, 307, 401, 402, 403, 404, 405, 415, 431, 501, 505)],
    ],
)
def test_what_a_status_means(status: int, meaning: str) -> None:
    fault = of_status(status, {}, b'{"error": {"message": "why", "code": null}}')
    kinds = {Refused: "refused", StageError: "stop"}
    assert (fault.kind if isinstance(fault, Again) else kinds[type(fault)]) == meaning
    assert "why" in str(fault) and str(status) in str(fault)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unsupported parameter: 'max_tokens'", "code": "unsupported_parameter"}}),
        (400, {"detail": "Server is pinned to '/a'; requested 'b'."}),  # transformers serve
        (422, {"detail": "Unexpected fields in the request: {'structured_outputs'}"}),  # transformers serve
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]}),
    ],
)
def test_a_refusal_that_concerns_every_request_stops_the_stage(status: int, body: object) -> None:
    assert isinstance(of_status(status, {}, orjson.dumps(body)), Unsupported)


def test_an_empty_account_is_not_waited_for() -> None:
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
    assert type(of_status(429, {"Retry-After": "1"}, body)) is StageError


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"object": "error", "message": "m"}', "m"),  # vLLM before it nested
        (b'{"detail": "m"}', "m"),  # FastAPI
        (b'{"error": "m"}', "m"),  # TGI
        (b"<html>\n  <h1>m</h1></html>", "<html> <h1>m</h1></html>"),
        (b"\xff", "\ufffd"),
        (b"", ""),
        (b'"m"', "m"),
    ],
)
def test_errors_are_read_in_every_form(body: bytes, said: str) -> None:
    assert str(of_status(500, {}, body)) == f"status 500: {said}"


def test_what_an_exception_means() -> None:
    def kind(error: Exception) -> str:
        fault = of_exception(error, 7)
        assert isinstance(fault, Again)
        return fault.kind

    assert kind(aiohttp.ConnectionTimeoutError()) == "gone"
    assert kind(aiohttp.SocketTimeoutError()) == "row"
    assert kind(TimeoutError()) == "row"
    assert kind(aiohttp.ClientPayloadError("short")) == "row"
    assert kind(aiohttp.ServerDisconnectedError()) == "gone"
    assert kind(aiohttp.ClientOSError(104, "reset")) == "gone"
    assert "timeout=7 seconds" in str(of_exception(TimeoutError(), 7))
    assert isinstance(of_exception(aiohttp.InvalidURL("http://"), 7), StageError)
    assert of_body(b"<html>").kind == "row"


DATE = "Sat, 21 Nov 2026 16:49:21 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": " 0.25 "}, 0.25),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Sat, 21 Nov 2026 16:49:24 GMT", "Date": DATE}, 3.0),
        ({"Retry-After": "Saturday, 21-Nov-26 16:50:21 GMT", "Date": DATE}, 60.0),  # RFC 850's form
        ({"Retry-After": "Sat Nov 21 16:49:25 2026", "Date": "Sat Nov 21 16:49:21 2026"}, 4.0),  # asctime's
        ({"Retry-After": "Sat, 21 Nov 2026 16:49:20 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 16:49:24 GMT"}, None),
        ({"Retry-After": "Sat, 21 Nov 2026 16:49:24 GMT", "Date": "Sat Nov 21 16:49:21 2026"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_back_off_grows_threefold_up_to_its_cap_and_half_of_it_is_chance() -> None:
    least, most = Backoff(0.5, 30, lambda: 0.0), Backoff(0.5, 30, lambda: 1.0)
    assert [most.seconds(n) for n in (1, 2, 3, 4, 6, 7, 8, 5000)] == [0.5, 1.5, 4.5, 13.5, 30, 30, 30, 30]
    assert [least.seconds(n) for n in (1, 2, 7)] == [0.25, 0.75, 15]
    assert (least.seconds(1, 20.0), most.seconds(2, 20.0)) == (20.25, 21.5)  # never before Retry-After


def test_a_bucket_gives_a_seconds_worth_at_once_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(120, clock)  # 2 a second
    assert [bucket.take(1) for _ in range(5)] == [0, 0, 0.5, 1.0, 1.5]
    clock.now = 1.5  # the debt is paid
    assert bucket.take(1) == 0.5
    clock.now = 1000
    assert [bucket.take(1) for _ in range(3)] == [0, 0, 0.5]  # idle time is not saved up


def test_a_bucket_takes_more_than_it_holds_as_debt_and_takes_back() -> None:
    clock = Clock()
    bucket = Bucket(6000, clock)  # 100 tokens a second
    assert bucket.take(400) == 3.0
    assert bucket.take(100) == 4.0
    bucket.take(-300)  # the server counted fewer
    assert bucket.take(0) == 1.0


def test_a_slow_bucket_lets_the_first_through() -> None:
    clock = Clock()
    bucket = Bucket(1, clock)
    assert (bucket.take(1), bucket.take(1)) == (0, 60)


def test_the_circuit_counts_from_the_first_failure_without_an_answer() -> None:
    clock = Clock()
    circuit = Circuit("http://host:8000/v1", 10, clock)
    for now in (0, 5, 10):
        clock.now = now
        circuit.failed("refused")
    circuit.answered()
    for now in (11, 21):
        clock.now = now
        circuit.failed("reset")
    clock.now = 21.5
    with pytest.raises(StageError, match=r"http://host:8000/v1: no answer for 10 seconds \(patience=10\).*: reset"):
        circuit.failed("reset")


def test_slots_go_to_those_who_wait_in_turn_and_not_to_those_who_left() -> None:
    async def main() -> list[int]:
        slots, got = Slots(2), []

        async def one(number: int) -> None:
            await slots.take()
            got.append(number)

        tasks = [asyncio.create_task(one(n)) for n in range(6)]
        await asyncio.sleep(0)
        assert got == [0, 1]
        tasks[2].cancel()  # while it waits
        await asyncio.sleep(0)
        slots.give()  # to 3
        tasks[3].cancel()  # which goes before it has noticed: on to 4
        await asyncio.gather(*tasks[2:5], return_exceptions=True)
        slots.give(3)  # to 5, and two are free
        await tasks[5]
        await asyncio.wait_for(asyncio.gather(one(6), one(7)), 1)
        return got

    assert asyncio.run(main()) == [0, 1, 4, 5, 6, 7]


def test_a_wait_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    """With patience=900 a run against a server that is not there stood for a quarter of an hour without a word."""
    clock = Clock()
    circuit = Circuit("http://host:8000/v1", 900, clock)
    for now in (0, 1, 3, 60):
        clock.now = now
        circuit.failed("connection refused")
    circuit.answered()
    circuit.answered()
    assert [record.getMessage() for record in caplog.records] == [
        "http://host:8000/v1: no answer for 3 seconds, waiting for up to 900 (patience=); the last error: "
        "connection refused",
        "http://host:8000/v1 answers",
    ]
