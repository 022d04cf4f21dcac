"""The `openai:` engine against a server that misbehaves: every request is answered or has its reason, once."""

import asyncio
import gc
import logging
import resource
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling
from stages.models.openai_engine import OpenAIEngine
from stages.models.openai_faults import Again
from stages.models.openai_pace import Backoff
from stages.models.openai_retry import Asking, Limits, Tries
from stages.models.spec import open_engine, parse
from stages.stage import StageError
from tests.stages.models.misbehaving import Count, Script, Server

QUICK = Backoff(0.001, 0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def engine_of(server: Server, backoff: Backoff = QUICK, **options: object) -> OpenAIEngine:
    return OpenAIEngine(parse(server.engine(**options), "test"), backoff)


def chats(*texts: str) -> list[Request]:
    return [Request(Prompt(chat=(("user", text),))) for text in texts]


def texts(*texts: str) -> list[Request]:
    return [Request(Prompt(text=text)) for text in texts]


def ask(server: Server, requests: list[Request], **options: object) -> dict[int, Answer | Failure]:
    """All results by number; each comes once."""
    engine = engine_of(server, **options)
    try:
        pairs = list(engine.generate(requests))
    finally:
        engine.close()
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def only(server: Server, **options: object) -> Answer | Failure:
    return ask(server, texts("a b"), **options)[0]


def acts(server: Server, prompt: str = "a b") -> list[str]:
    return server.counts()[prompt].acts


def until(true: Callable[[], bool]) -> None:
    """What no event tells of. It gives way to the threads that it waits for."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.001)


def test_answers_of_texts_chats_and_tokens(server: Server) -> None:
    requests = [*texts("a b"), *chats("c d e"), Request(Prompt(tokens=(1, 2)))]
    results = ask(server, requests)
    assert [(r.text, r.finish, r.usage.prompt_tokens) for _, r in sorted(results.items()) if isinstance(r, Answer)] == [
        ("A B", "stop", 2),
        ("C D E", "stop", 3),
        ("1 2", "stop", 2),
    ]
    assert sorted(path for path, _ in server.bodies) == ["/v1/chat/completions", "/v1/completions", "/v1/completions"]


def test_the_setting_opens_it(server: Server) -> None:
    engine = open_engine(parse(server.engine(concurrency=2), "test"))
    asker = Asker(parse(server.engine(), "test"), engine, "model")
    assert [r.text for r in asker.ask(texts("a", "b", "a")) if isinstance(r, Answer)] == ["A", "B", "A"]
    assert server.counts()["a"].asked == 1
    engine.close()


@pytest.mark.parametrize(
    "act",
    ["500", "502", "504", "408", "409", "425", "429", "503", "429:after=0", "429:date=0", "html", "html502", "invalid",
     "cut", "reset", "close", "abort", "null", "empty", "wrong-model"],
)  # fmt: skip
def test_what_passes_is_tried_again(server: Server, act: str) -> None:
    server.script = Script({"": (act, "ok")})
    result = only(server)
    assert isinstance(result, Answer) and result.text == "A B"
    assert acts(server) == [act, "ok"]


@pytest.mark.parametrize("act", ["silent", "trickle"])
def test_a_server_that_takes_too_long_is_asked_again(server: Server, act: str) -> None:
    server.script = Script({"": (act, "ok")})
    assert isinstance(only(server, timeout=1), Answer)
    first, *again = acts(server)
    assert (first, set(again)) == (act, {"ok"})  # on a busy machine an "ok" may take too long, too


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("500", "given up after 3 tries: status 500: this is a 500"),
        ("cut", "given up after 3 tries: ClientPayloadError"),
        ("reset", "given up after 3 tries: ClientOSError"),  # the probe is answered: the row is to blame
        ("close", "given up after 3 tries: ServerDisconnectedError"),
        ("html502", "given up after 3 tries: status 502: <html>"),
        ("html", "given up after 3 tries: status 200 with a body that is not JSON: '<html>"),
        ("invalid", "given up after 3 tries: status 200 with a body that is not JSON"),
        ("abort", "given up after 3 tries: finish_reason 'abort'"),
        ("null", "given up after 2 tries: the answer has content None"),  # they are paid for
        ("empty", "given up after 2 tries: the answer has no choices"),
    ],
)
def test_what_stays_makes_this_request_fail(server: Server, act: str, reason: str) -> None:
    server.script = Script({"a b": (act,)})
    results = ask(server, texts("a b", "c"), tries=3)
    assert isinstance(results[0], Failure) and reason in results[0].error, results[0]
    assert server.url in results[0].error
    assert isinstance(results[1], Answer)
    assert len(acts(server)) == int(reason.split()[3])


@pytest.mark.parametrize("act", ["silent", "trickle"])
def test_a_request_that_always_times_out_fails(server: Server, act: str) -> None:
    server.script = Script({"": (act,)})
    result = only(server, timeout=0.1, tries=2)
    assert isinstance(result, Failure) and "given up after 2 tries" in result.error
    assert "timeout=0.1 seconds" in result.error


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("400:message=too_long", "status 400: too long"),
        ("413", "status 413: this is a 413"),
        ("422", "status 422"),
        ("filter", "finish_reason content_filter"),
    ],
)
def test_a_content_that_is_refused_fails_at_once(server: Server, act: str, reason: str) -> None:
    server.script = Script({"a b": (act,)})
    results = ask(server, texts("a b", "c"))
    assert isinstance(results[0], Failure) and reason in results[0].error
    assert isinstance(results[1], Answer)
    assert acts(server) == [act]


@pytest.mark.parametrize("act", ["401", "403", "404", "402", "405", "501", "307", "429:code=insufficient_quota"])
def test_what_concerns_all_requests_stops_the_stage(server: Server, act: str) -> None:
    server.script = Script({"": (act,)})
    with pytest.raises(StageError, match=f"{server.url}: status {act[:3]}"):
        only(server)


def test_answers_that_were_there_come_before_the_stop(server: Server) -> None:
    server.script = Script({"bad": ("slow:0.2", "ok")})
    engine = engine_of(server, concurrency=4)
    stream = engine.generate(texts("a", "b", "bad 1"))
    assert {next(stream)[0], next(stream)[0]} == {0, 1}
    until(lambda: "bad 1" in server.counts())
    server.script = Script({"": ("401",)})
    with pytest.raises(StageError, match="401"):
        list(engine.generate(texts("z")))
    assert next(stream)[0] == 2  # another stream's stop is not this one's
    engine.close()


def test_an_answer_that_is_cut_says_so(server: Server) -> None:
    server.script = Script({"": ("length",)})
    result = only(server)
    assert isinstance(result, Answer) and result.finish == "length"


def test_the_wrong_model_for_ever_stops_the_stage(server: Server) -> None:
    server.script = Script({"": ("wrong-model",)})
    with pytest.raises(StageError, match="the answer is from model 'another', not 'model', 3 times"):
        only(server, tries=3)


def test_retry_after_is_kept(server: Server) -> None:
    """The wait is at least what the server asked for, measured by the engine's own account of it."""
    server.script = Script({"": ("429:after=0.3", "ok")})
    engine = engine_of(server)
    begun = engine._client._loop.time()
    assert len(list(engine.generate(texts("a")))) == 1
    assert engine._client._loop.time() - begun >= 0.3
    engine.close()


def test_usage_and_seconds(server: Server) -> None:
    server.script = Script({"": ("500", "slow:0.05")})
    result = only(server)
    assert isinstance(result, Answer)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (2, 2)
    assert 0.05 <= result.usage.seconds < 5


def test_without_usage_tokens_are_0_with_a_warning_or_counted(
    server: Server, llama: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = Script({"": ("no-usage",)})
    with caplog.at_level(logging.WARNING):
        results = ask(server, texts("a b", "c d"))
    assert [r.usage.prompt_tokens for r in results.values() if isinstance(r, Answer)] == [0, 0]
    assert caplog.text.count("tells no usage") == 1
    result = only(server, tokenizer=llama)
    counted = PreTrainedTokenizerFast.from_pretrained(llama)
    assert isinstance(result, Answer)
    assert result.usage.prompt_tokens == len(counted.encode("a b", add_special_tokens=False))
    assert result.usage.completion_tokens == len(counted.encode("A B", add_special_tokens=False))


def test_tokens_by_the_tokenizer_that_is_named(server: Server, llama: Path) -> None:
    engine = engine_of(server, tokenizer=llama)
    (plain,), (special,) = engine.tokenize(["wheel"]), engine.tokenize(["wheel"], special=True)
    assert special == [1, *plain]
    assert engine.tokenize([]) == []
    engine.close()
    engine = engine_of(server)
    with pytest.raises(StageError, match="tokenizer=FOLDER"):
        engine.tokenize(["a"])
    engine.close()


def test_the_key_is_sent_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = Script(key="sk-secret-1")
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    assert isinstance(only(server, key_env="MY_KEY"), Answer)
    monkeypatch.setenv("MY_KEY", "sk-wrong-2")
    engine = engine_of(server, key_env="MY_KEY")
    with pytest.raises(StageError, match=r"401: Incorrect API key provided: \*\*\*") as caught:
        list(engine.generate(texts("a")))
    said = "".join(traceback.format_exception(caught.value))  # with this file's own lines
    assert "sk-wrong-" + "2" not in said.replace('"sk-wrong-2"', "") + repr(engine) + repr(engine._client._asking)
    with pytest.raises(StageError, match="401"):
        _ = engine.context
    engine.close()
    monkeypatch.setenv("MY_KEY", "sk-\nü")
    with pytest.raises(StageError, match=r"\$MY_KEY has characters") as caught:
        engine_of(server, key_env="MY_KEY")
    assert "sk-" not in str(caught.value)


def test_without_a_key_none_is_sent(server: Server) -> None:
    server.script = Script(key="k")
    with pytest.raises(StageError, match=r"provided: $|provided:"):
        only(server, key_env="NO_SUCH_VARIABLE")


def test_a_server_that_is_gone_for_too_long_ends_the_stage_with_no_row_buried(server: Server) -> None:
    server.vanish()
    engine = engine_of(server, patience=0.2, tries=2)
    results = []
    with pytest.raises(StageError, match=rf"{server.url}: no answer for .*patience=0.2.*ClientConnectorError"):
        results.extend(engine.generate(texts(*"abcdef")))
    assert results == []
    with pytest.raises(StageError, match="no answer"):
        _ = engine.context
    engine.close()


def test_a_server_that_comes_back_costs_no_row(server: Server) -> None:
    engine = engine_of(server, tries=2, concurrency=4)
    requests = texts(*(f"row {n}" for n in range(40)))
    server.vanish()
    back = threading.Timer(0.3, server.come_back)  # far more than 2 tries of at most 10 ms
    back.start()
    results = dict(engine.generate(requests))
    back.join()
    assert len(results) == 40 and all(isinstance(r, Answer) for r in results.values())
    engine.close()


def test_busy_for_ever_ends_the_stage(server: Server) -> None:
    server.script = Script({"": ("503",)})
    with pytest.raises(StageError, match=r"no answer for .* seconds .* status 503"):
        only(server, patience=0.1)


def test_one_row_that_is_always_told_to_wait_fails_when_others_are_answered(server: Server) -> None:
    server.script = Script({"unlucky": ("429",), "": ("slow:0.01",)})
    requests = texts("unlucky", *(f"row {n}" for n in range(100)))
    results = ask(server, requests, patience=1, concurrency=2)
    assert isinstance(results[0], Failure) and "status 429" in results[0].error
    assert sum(isinstance(r, Answer) for r in results.values()) == 100


def test_503_of_a_full_server_costs_no_row(server: Server) -> None:
    """vLLM's --max-num-queued-reqs: 503 without Retry-After, over and over, tries=2 notwithstanding."""
    server.script = Script(capacity=4, latency=0.01)
    results = ask(server, texts(*(f"row {n}" for n in range(100))), tries=2, concurrency=64)
    assert all(isinstance(r, Answer) for r in results.values()) and len(results) == 100
    assert all(count.answered == 1 for count in server.counts().values())
    assert sum(count.asked for count in server.counts().values()) > 100


def test_a_tenth_of_all_requests_fails_and_each_row_is_answered_once(server: Server) -> None:
    bad = {"poison": ("500",), "long": ("400:message=context",)}
    server.script = Script(
        bad, share=0.1, faults=("500", "503", "429:after=0", "reset", "close", "cut", "invalid", "html502")
    )
    names = [f"row {n}" for n in range(1000)] + [f"poison {n}" for n in range(5)] + [f"long {n}" for n in range(5)]
    results = ask(server, texts(*names), concurrency=200)
    assert [n for n in range(1010) if isinstance(results[n], Answer)] == list(range(1000))
    assert all(isinstance(results[n], Failure) for n in range(1000, 1010))
    counts = server.counts()
    assert [name for name in names[:1000] if counts[name].answered != 1] == []
    assert sum(count.asked for count in counts.values()) > 1080  # there were failures
    assert all(counts[f"long {n}"] == Count(1, 0, ["400:message=context"]) for n in range(5))


def test_as_many_at_a_time_as_concurrency_says(server: Server) -> None:
    server.script = Script(latency=0.05)
    ask(server, texts(*(f"row {n}" for n in range(60))), concurrency=20)
    assert 10 < server.peak <= 20


def test_a_slow_consumer_slows_the_asking(server: Server) -> None:
    engine = engine_of(server, concurrency=3)
    stream = engine.generate(texts(*(f"row {n}" for n in range(300))))
    next(stream)
    list(engine.generate(texts(*(f"other {n}" for n in range(50)))))  # time passes in which the first could run ahead
    assert sum(name.startswith("row") for name in server.counts()) <= 6 + 1
    assert len(list(stream)) == 299
    engine.close()


def test_a_stream_that_is_left_is_cancelled(server: Server) -> None:
    engine = engine_of(server, concurrency=2)
    stream = engine.generate(texts(*(f"row {n}" for n in range(300))))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    list(engine.generate(texts(*(f"other {n}" for n in range(50)))))
    assert sum(name.startswith("row") for name in server.counts()) <= 6
    engine.close()


def test_threads_share_an_engine(server: Server) -> None:
    server.script = Script(latency=0.005)
    engine = engine_of(server, concurrency=16)
    results: dict[int, dict[int, Answer | Failure]] = {}

    def table(number: int) -> None:
        results[number] = dict(engine.generate(texts(*(f"{number} {n}" for n in range(100)))))

    threads = [threading.Thread(target=table, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[t][n].text == f"{t} {n}" for t in range(4) for n in range(100))  # type: ignore[union-attr]
    assert server.peak <= 16
    engine.close()


def test_requests_are_made_lazily(server: Server) -> None:
    made = []

    class Rows(list):  # type: ignore[type-arg]
        def __getitem__(self, number):  # type: ignore[no-untyped-def]
            made.append(number)
            return super().__getitem__(number)

    engine = engine_of(server, concurrency=2)
    stream = engine.generate(Rows(texts(*(f"row {n}" for n in range(200)))))
    assert made == []
    next(stream)
    assert max(made) < 4
    assert len(list(stream)) == 199
    engine.close()


def test_close_ends_the_thread_and_what_still_waits(server: Server) -> None:
    server.script = Script({"": ("silent",)})
    engine = engine_of(server)
    thread = engine._client._thread
    caught: list[Exception] = []

    def wait() -> None:
        try:
            list(engine.generate(texts("a")))
        except StageError as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: bool(server.counts()))
    engine.close()
    engine.close()
    waiting.join()
    assert "closed" in str(caught[0])
    assert not thread.is_alive()
    with pytest.raises(StageError, match="closed"):
        list(engine.generate(texts("a")))


def test_close_under_a_consumer_that_still_has_results(server: Server) -> None:
    server.script = Script({"late": ("silent",)})
    engine = engine_of(server, concurrency=40)
    stream = engine.generate(texts(*(f"row {n}" for n in range(30)), "late"))
    next(stream)
    engine.close()
    with pytest.raises(StageError, match="the engine was closed"):
        list(stream)


def test_close_before_a_stream_has_begun(server: Server) -> None:
    engine = engine_of(server)
    loop, begun, blocked = engine._client._loop, threading.Event(), threading.Event()
    loop.call_soon_threadsafe(lambda: (begun.set(), blocked.wait(60)))  # the loop is busy while both come in
    assert begun.wait(60)
    caught: list[Exception] = []

    def read() -> None:
        try:
            list(engine.generate(texts("a")))
        except StageError as error:
            caught.append(error)

    reading, closing = threading.Thread(target=read), threading.Thread(target=engine.close)
    reading.start()
    until(lambda: len(loop._ready) >= 1)  # type: ignore[attr-defined]
    closing.start()
    until(lambda: engine._client._closed)
    blocked.set()
    reading.join(60)
    closing.join(60)
    assert "closed" in str(caught[0])


def test_open_files(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.insert(0, wanted))
    engine_of(server, concurrency=100).close()
    assert limits == [(1024, 4096)]
    engine_of(server, concurrency=2000).close()
    assert limits[0] == (2128, 4096)
    with pytest.raises(
        StageError, match=r"4228 open files are needed, 4096 allowed: lower concurrency or raise ulimit"
    ):
        engine_of(server, concurrency=4100)


@pytest.mark.parametrize(("before", "after"), [(700, 5_000), (9_000, 9_000), (0, 0)])
def test_the_collector_waits_for_the_requests_on_their_way(server: Server, before: int, after: int) -> None:
    earlier = gc.get_threshold()
    try:
        gc.set_threshold(before, 7, 8)
        engine_of(server, concurrency=50).close()
        assert gc.get_threshold() == (after, 7, 8)
    finally:
        gc.set_threshold(*earlier)


def test_a_row_that_kills_the_server_each_time_is_given_up() -> None:
    """Between its kills others are answered; tries while nobody is answered are not counted."""

    async def main() -> list[bool]:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # no listener: the probe is refused
            limits = Limits(1, 1.0, 100.0, 3, 0.0, 0.0)
            asking = Asking(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", limits, "", QUICK)
            behind, given_up = Tries(), []
            for others in (False, False, True, False, True, True):
                if others:
                    asking._circuit.answered()
                begun = asyncio.get_running_loop().time()
                given_up.append(await asking._counts(Again("gone", "reset"), behind, begun, "reset"))
            await asking.close()
            return given_up

    assert asyncio.run(main()) == [False, False, False, False, False, True]


def test_an_engine_that_is_forgotten_ends_its_thread(server: Server) -> None:
    engine = engine_of(server)
    list(engine.generate(texts("a")))
    thread = engine._client._thread
    del engine
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_requests_a_minute(server: Server) -> None:
    """1,200 a minute are 20 at once and one every 50 ms after that."""
    engine = engine_of(server, requests_per_minute=1200)
    begun = engine._client._loop.time()
    list(engine.generate(texts(*(f"row {n}" for n in range(26)))))
    assert engine._client._loop.time() - begun >= 0.29
    engine.close()


def test_tokens_a_minute_count_what_the_server_counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 answers of 2 tokens each are estimated as 501 each; the corrections let all 10 through at once."""
    engine = engine_of(server, tokens_per_minute=60_000, concurrency=1)  # 1,000 a second
    bucket = engine._client._asking._tokens
    assert bucket is not None
    seen, take, waits = bucket._seen, bucket.take, list[float]()
    monkeypatch.setattr(bucket, "_clock", lambda: seen)  # no time goes by: what is let through was given back
    monkeypatch.setattr(bucket, "take", lambda amount: waits.append(take(amount)) or waits[-1])
    sampling = Sampling(max_tokens=500)
    list(engine.generate([Request(Prompt(text=f"row{n}"), sampling) for n in range(10)]))
    assert len(waits) == 20
    assert max(waits) < 0.1  # two are estimated at a time, 1,002 tokens; the last of 10 x 501 would wait for 4 seconds
    assert take(0) == 0
    engine.close()


def test_log_probabilities_in_every_form_that_servers_have(server: Server) -> None:
    for scoring, tried in (("vllm", 1), ("echo0", 2), ("echo1", 3)):
        server.script = Script(scoring=scoring)
        server.bodies.clear()
        engine = engine_of(server)
        results = dict(engine.score([Prompt(text="a b c"), Prompt(tokens=(5, 6))]))
        assert [results[n].logprobs.tolist() for n in (0, 1)] == [[-0.5, -1.0], [-0.5]]  # type: ignore[union-attr]
        assert len(list(engine.score([Prompt(text="z")]))) == 1
        assert len(server.bodies) == tried + 3  # the form is found out once
        engine.close()


def test_log_probabilities_where_a_field_is_refused(server: Server) -> None:
    for status in (400, 422):
        server.script = Script(scoring="echo1", refuses={"prompt_logprobs": status})
        engine = engine_of(server)
        assert dict(engine.score([Prompt(text="a b")]))[0].logprobs.tolist() == [-0.5]  # type: ignore[union-attr]
        with pytest.raises(StageError, match="not of a chat"):
            list(engine.score([Prompt(chat=(("user", "a"),))]))
        engine.close()


def test_a_server_without_log_probabilities(server: Server) -> None:
    server.script = Script(scoring="none")
    engine = engine_of(server)
    with pytest.raises(StageError, match="gives no log-probabilities of a prompt"):
        list(engine.score([Prompt(text="a b")]))
    engine.close()


def test_embeddings_and_logits(server: Server) -> None:
    engine = engine_of(server)
    vector = dict(engine.embed([Prompt(text="a b")]))[0]
    np.testing.assert_allclose(vector.values, np.array([2, 1, 2]) / 3, rtol=1e-6)  # type: ignore[union-attr]
    logits = dict(engine.classify([Prompt(text="a b c")]))[0]
    assert logits.values.tolist() == [3.0, -1.5]  # type: ignore[union-attr]
    assert logits.usage.prompt_tokens == 3  # type: ignore[union-attr]
    assert [path for path, _ in server.bodies] == ["/v1/embeddings", "/classify"]
    assert server.bodies[1][1] == {"model": "model", "input": "a b c", "use_activation": False}
    engine.close()


def test_the_context_that_vllm_tells(server: Server) -> None:
    server.script = Script(context=2048)
    engine = engine_of(server)
    assert engine.context == 2048
    engine.close()
    server.script = Script()
    engine = engine_of(server)
    assert engine.context is None
    engine.close()


def test_a_name_for_max_tokens_that_openai_wants_in_chats(server: Server) -> None:
    server.script = Script(refuses={"max_tokens": 400})
    engine = engine_of(server)
    results = dict(engine.generate(chats(*(f"row {n}" for n in range(20)))))
    assert all(isinstance(r, Answer) for r in results.values()) and len(results) == 20
    assert {body.get("max_completion_tokens") for _, body in server.bodies[-1:]} == {256}
    with pytest.raises(StageError, match="max_tokens"):
        list(engine.generate(texts("a")))
    engine.close()


def test_a_field_that_is_unknown_stops_the_stage(server: Server) -> None:
    server.script = Script(refuses={"structured_outputs": 422})
    grammar = Sampling(grammar=Grammar("regex", "a"))
    with pytest.raises(StageError, match="422: Unexpected fields"):
        ask(server, [Request(Prompt(text="a"), grammar)])
    with pytest.raises(StageError, match="structured=none means no grammar"):
        ask(server, [Request(Prompt(text="a"), grammar)], structured="none")


def test_styles(server: Server) -> None:
    with pytest.raises(StageError, match="style=completions"):
        ask(server, chats("a"), style="completions")
    with pytest.raises(StageError, match="style=chat"):
        ask(server, texts("a"), style="chat")
    with pytest.raises(StageError, match="style=chats should be one of auto, chat, completions"):
        ask(server, [], style="chats")
    with pytest.raises(StageError, match="concurrency and tries"):
        ask(server, [], tries=0)


def test_half_a_surrogate_pair_fails_alone(server: Server) -> None:
    results = ask(server, texts("a", "\ud800"))
    assert isinstance(results[0], Answer) and isinstance(results[1], Failure)


def test_nothing_asked_nothing_said(server: Server) -> None:
    assert ask(server, []) == {}
    assert server.bodies == []


def test_the_wrong_model_for_all_stops_before_each_row_has_paid_its_tries(server: Server) -> None:
    server.script = Script({"": ("wrong-model",)})
    with pytest.raises(StageError, match="the answer is from model 'another', not 'model', 32 times"):
        ask(server, texts(*(f"row {n}" for n in range(100))), tries=8, concurrency=16)
    assert sum(count.answered for count in server.counts().values()) <= 32 + 2 * 16  # of 800


def test_a_model_that_the_server_does_not_list_is_told(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.script = Script()
    engine = OpenAIEngine(parse(f"openai:{server.url}#modell", "test"), QUICK)
    assert engine.context is None
    engine.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"{server.url} does not list the model 'modell'; it has model"
    ]


def test_a_tokenizer_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    engine = engine_of(server, tokenizer=tmp_path)
    with pytest.raises(StageError, match=f"tokenizer={tmp_path}: no folder with a tokenizer.json"):
        engine.tokenize(["a"])
    engine.close()
