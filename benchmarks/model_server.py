"""The `openai:` engine against what a server itself sustains under a plain load generator, side by side.

A loopback server in a process of its own answers after a set latency, so many at a time. It is asked by a plain aiohttp
generator (bodies made beforehand, answers only read, failures left alone) and by the engine through `Asker.ask`, a few
tables at a time, with a ledger that counts; in turn, best of several; while all is well, while a tenth of all requests
fails, and without a limit. Then what became of each row when some rows always fail. The openai SDK is asked the same
for the CPU that it takes. One JSON line.

On a machine that others use too, all of them need the same right to its cores: `chrt -r 5 python ...`.

    python benchmarks/model_server.py [--requests 12000] [--concurrency 512] [--repeat 2] [--latency 0.05] [--slots 64]
"""

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import aiohttp
import orjson
from aiohttp import web
from openai import AsyncOpenAI
from record import record

from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Prompt, Request
from stages.models.ledger import key_of
from stages.models.openai_engine import OpenAIEngine
from stages.models.openai_pace import Backoff
from stages.models.spec import parse

BOUND = 0.9  # of the plain generator's throughput
TABLE, TABLES = 1024, 2  # rows of a table, and how many are in work at a time
PROMPT = "The old mill stands beside the water, and the wheel still turns when the river is high enough. " * 17
ANSWER = "The wheel turns. " * 60


class LoopbackServer:
    """Answers after `latency`, `slots` at a time (0: any number); a `share` of requests fails, `/set` says how many."""

    def __init__(self) -> None:
        self.latency, self.share, self.poison = 0.0, 0.0, 0.0
        self.slots = asyncio.Semaphore(1 << 30)
        self.good: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/set":
            wanted = await request.json()
            self.__init__()  # type: ignore[misc]
            self.latency, self.share, self.poison = wanted["latency"], wanted["share"], wanted.get("poison", 0.0)
            self.slots = asyncio.Semaphore(wanted["slots"] or 1 << 30)
            return web.json_response({})
        if request.path == "/counts":
            return web.json_response({"good": self.good, "asked": self.asked})
        if request.method == "GET":  # whether the server is there
            return web.json_response({"data": []})
        body = orjson.loads(await request.read())
        prompt = body["messages"][0]["content"]
        name = prompt[:12]
        time_ = self.asked[name]
        self.asked[name] += 1
        if self.share and (fault := self.fault(name, time_)):
            if fault == "reset":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            status = int(fault)
            return web.json_response({"error": {"message": fault}}, status=status)
        async with self.slots:
            if self.latency:
                await asyncio.sleep(self.latency)
        self.good[name] += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 400, "completion_tokens": 250, "total_tokens": 650}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    def fault(self, name: str, time_: int) -> str | None:
        """Half of a share `poison` of all rows is always refused, half always fails; `share` is drawn each time."""
        row = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
        if row < self.poison:
            return "400" if row < self.poison / 2 else "500"
        draw = hashlib.sha256(f"{name}/{time_}".encode()).digest()
        if int.from_bytes(draw[:4], "big") / 2**32 < self.share:
            return ("500", "503", "429", "reset")[draw[4] % 4]
        return None


def serve(pipe: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(web.Server(LoopbackServer().answer), "127.0.0.1", 0, backlog=8192)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def server_process() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(UrlRequest(url, data)) as response:
        return json.load(response)


def prompts(count: int) -> list[str]:
    return [f"{number:012d}{PROMPT}" for number in range(count)]


class CountingLedger:
    """A ledger in memory that counts what it is told."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.added: Counter[bytes] = Counter()
        self.lock = threading.Lock()

    def find(self, keys: Any) -> dict[bytes, bytes]:
        return {key: self.values[key] for key in keys if key in self.values}

    def add(self, key: bytes, value: bytes) -> None:
        with self.lock:
            self.added[key] += 1
            self.values[key] = value

    def flush(self) -> None:
        pass


async def plain(url: str, count: int, concurrency: int, failing: bool = False) -> None:
    """The barest client: bodies made beforehand, answers read and not looked at, failures left alone."""
    bodies = [
        orjson.dumps({"model": "m", "messages": [{"role": "user", "content": p}], "max_tokens": 256})
        for p in prompts(count)
    ]
    todo = iter(bodies)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:

        async def worker() -> None:
            for body in todo:
                try:
                    async with session.post(f"{url}/v1/chat/completions", data=body) as response:
                        await response.read()
                except aiohttp.ClientError:
                    assert failing
                else:
                    assert failing or response.status == 200

        await asyncio.gather(*(worker() for _ in range(concurrency)))


async def sdk(url: str, count: int, concurrency: int) -> None:
    """The openai SDK with its own defaults."""
    todo = iter(prompts(count))
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:

        async def worker() -> None:
            for prompt in todo:
                messages: Any = [{"role": "user", "content": prompt}]
                await client.chat.completions.create(model="m", messages=messages, max_tokens=256)

        await asyncio.gather(*(worker() for _ in range(concurrency)))


def ask(
    url: str, count: int, concurrency: int, ledger: CountingLedger, backoff: Backoff | None = None
) -> dict[int, Answer | Failure]:
    """The engine as a stage uses it: some tables at a time through one asker."""
    spec = parse(f"openai:{url}/v1?concurrency={concurrency}#m", "benchmark")
    asker = Asker(spec, OpenAIEngine(spec, backoff), "m", ledger)
    rows = [Request(Prompt(chat=(("user", prompt),))) for prompt in prompts(count)]
    results: dict[int, Answer | Failure] = {}

    def table(first: int) -> None:
        for number, result in enumerate(asker.ask(rows[first : first + TABLE]), first):
            assert number not in results
            results[number] = result

    with ThreadPoolExecutor(TABLES) as pool:
        list(pool.map(table, range(0, count, TABLE)))
    asker.engine.close()
    return results


def measure(work: Callable[[], Any], count: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rps": round(count / wall, 1), "cpu_ms": round(1000 * cpu / count, 4)}


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """Highest throughput and least CPU of several runs; what else the machine did is in neither."""
    return {"rps": max(run["rps"] for run in runs), "cpu_ms": min(run["cpu_ms"] for run in runs)}


def side_by_side(url: str, a: argparse.Namespace, slots: int, share: float = 0.0) -> dict[str, Any]:
    """Plain and ours in turn on the same server; good answers a second."""
    runs: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}

    def ours() -> None:
        ledger = CountingLedger()
        results = ask(url, a.requests, a.concurrency, ledger)
        assert len(results) == len(ledger.added) == a.requests
        assert all(isinstance(result, Answer) for result in results.values())

    for _ in range(a.repeat):
        for name, work in (
            ("plain", lambda: asyncio.run(plain(url, a.requests, a.concurrency, share > 0))),
            ("ours", ours),
        ):
            call(f"{url}/set", {"latency": a.latency, "share": share, "slots": slots})
            figures = measure(work, a.requests)
            good = call(f"{url}/counts")["good"]
            assert set(good.values()) == {1}
            figures["rps"] = round(figures["rps"] * len(good) / a.requests, 1)
            runs[name].append(figures)
    found: dict[str, Any] = {name: best(of) for name, of in runs.items()}
    found["ratio"] = round(found["ours"]["rps"] / found["plain"]["rps"], 3)
    found["ratios"] = [round(o["rps"] / p["rps"], 3) for o, p in zip(runs["ours"], runs["plain"], strict=True)]
    return found


def with_faults(url: str, a: argparse.Namespace, share: float) -> dict[str, Any]:
    """A share of requests fails: every row is answered or dead with its reason, none twice, the ledger exact."""
    call(f"{url}/set", {"latency": a.latency, "share": share, "poison": 0.02, "slots": a.slots})
    ledger, results = CountingLedger(), {}

    def work() -> None:
        results.update(ask(url, a.requests, a.concurrency, ledger, Backoff(0.05, 1.0)))

    figures: dict[str, Any] = measure(work, a.requests)
    counts = call(f"{url}/counts")
    good, asked = counts["good"], counts["asked"]
    dead = {number: result.error for number, result in results.items() if isinstance(result, Failure)}
    answered = results.keys() - dead.keys()
    keys = {key_of("m", Request(Prompt(chat=(("user", p),)))): p[:12] for p in prompts(a.requests)}
    exact = {keys[key]: times for key, times in ledger.added.items()} == dict.fromkeys(
        (f"{number:012d}" for number in answered), 1
    )
    ask(url, a.requests, a.concurrency, ledger, Backoff(0.05, 1.0))  # again: only what is dead is asked
    more = Counter(call(f"{url}/counts")["asked"]) - Counter(asked)
    return figures | {
        "share": share,
        "rows": a.requests,
        "answered": len(answered),
        "dead": len(dead),
        "dead_by_reason": dict(Counter(" ".join(e.split(": ")[-2:])[:60] for e in dead.values())),
        "requests": sum(asked.values()),
        "answered_twice": sum(times > 1 for times in good.values()),
        "every_row_accounted": len(results) == a.requests and good.keys() == {f"{number:012d}" for number in answered},
        "ledger_exact": exact,
        "second_run_asked_answered_rows": sum(more[f"{number:012d}"] for number in answered),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=12_000)
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--slots", type=int, default=64, help="requests that the server works on at a time")
    parser.add_argument("--sdk-requests", type=int, default=2000)
    a = parser.parse_args()
    with server_process() as url:
        limited, failing, unlimited = (
            side_by_side(url, a, a.slots), side_by_side(url, a, a.slots, 0.1), side_by_side(url, a, 0),
        )  # fmt: skip
        call(f"{url}/set", {"latency": a.latency, "share": 0.0, "slots": a.slots})
        theirs = best([measure(lambda: asyncio.run(sdk(url, a.sdk_requests, 256)), a.sdk_requests) for _ in range(2)])
        faults = with_faults(url, a, 0.1)
    record(
        "model_server",
        {
            "requests": a.requests,
            "concurrency": a.concurrency,
            "prompt_bytes": len(PROMPT),
            "answer_bytes": len(ANSWER),
            "latency_ms": a.latency * 1000,
            "slots": a.slots,
            "server_limit_rps": round(a.slots / a.latency, 1),
            "bound": BOUND,
            "within_bound": min(limited["ratio"], failing["ratio"]) >= BOUND,
            "limited": limited,
            "failing": failing,
            "unlimited": unlimited,
            "openai_sdk": {**theirs, "concurrency": 256},
            "cpu_sdk_over_ours": round(theirs["cpu_ms"] / limited["ours"]["cpu_ms"], 1),
            "faults": faults,
            "clients": {package: metadata.version(package) for package in ("aiohttp", "orjson", "openai")},
        },
    )


if __name__ == "__main__":
    main()
