"""A model server on loopback that misbehaves on command and counts what it answered.

It speaks the OpenAI routes (chat/completions, completions, embeddings, models) and vLLM's (/classify, prompt_logprobs)
in a thread of its own. What it does to a prompt is data: the acts for the first, second, ... time it is asked.

    with Server(Script({"doc 7": ("503", "reset", "ok")}, latency=0.01)) as server:
        spec = parse(server.engine(concurrency=64), "test")     # openai:http://127.0.0.1:PORT/v1?concurrency=64#model
        ...
        assert server.counts()["doc 7"] == Count(asked=3, answered=1, acts=["503", "reset", "ok"])

or, without a `with`: `url = server.start(Script(...))`, `server.counts()`, `server.stop()`.

Acts, all that can go wrong with a server that was seen to go wrong (llm.md 4):

    ok  slow:SECONDS                        a good answer, at once or later
    length  no-usage                        an answer that is cut by max_tokens; one without an account of tokens
    null  empty  filter  abort  wrong-model content null, choices [], odd finish reasons, an answer for another model
    429  429:after=2  429:date=2  503 ...   any status, with Retry-After in seconds or as a date so many seconds ahead
    429:code=insufficient_quota             ... with a code in the error's body; 400:message=some_words likewise
    html  html502  invalid                  200 with HTML, 502 with HTML, 200 with half a JSON document
    silent  trickle                         never answers; a byte every 20 ms for ever
    cut  reset  close                       half a body and the end; a TCP reset; the end before any answer
"""

import asyncio
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Self

from aiohttp import web

MODEL = "model"
PAID = ("ok", "slow", "length", "no-usage", "null", "empty", "filter", "wrong-model")  # what a provider bills


def shout(prompt: str) -> str:
    """The default answer: the prompt in capitals."""
    return prompt.upper()


@dataclass(frozen=True)
class Script:
    """What the server does.

    `acts`: for prompts that contain the key (the first key that fits), what happens the first, second, ... time; the
    last act stays. `share` of all other requests go wrong by one of `faults`, drawn from (seed, prompt, time).
    """

    acts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    share: float = 0.0
    faults: Sequence[str] = ("500", "503", "429:after=0", "reset", "cut", "invalid", "html502")
    seed: int = 0
    latency: float = 0.0  # seconds before any act
    capacity: int = 0  # requests beyond so many at a time are told 503 without Retry-After, as vLLM does; 0: any
    answer: Callable[[str], str] = shout
    model: str = MODEL
    context: int | None = None  # max_model_len, as vLLM tells it
    key: str | None = None  # requests without this key get 401, with what they sent in the message
    scoring: str = "vllm"  # log-probabilities of prompts: vllm, echo0 (max_tokens 0), echo1 (1 token more), none
    refuses: Mapping[str, int] = field(default_factory=dict)  # fields of the body, and the status they get


@dataclass
class Asked:
    """A request as the server saw it: its prompt, the connection, the client's port, and whether it was paid for."""

    prompt: str
    connection: int
    port: int
    paid: bool = False


@dataclass
class Count:
    """What became of a prompt: how often it was asked, how often that was paid for, and the acts in order."""

    asked: int = 0
    answered: int = 0
    acts: list[str] = field(default_factory=list)


class Server:
    """The server; `counts`, `bodies`, `peak` and `scripts` are safe to read from the test's thread."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.port = 0
        self.peak = 0  # most requests at one time
        self.bodies: list[tuple[str, dict[str, Any]]] = []  # (path, body) of every POST
        self.log: list[Asked] = []  # every POST that was read whole, in order
        self._now = 0
        self._counts: dict[str, Count] = {}
        self._connections: dict[Any, int] = {}  # numbered as they send their first POST
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def engine(self, **options: object) -> str:
        """The engine setting for this server."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"openai:{self.url}{'?' * bool(query)}{query}#{self.script.model}"

    def counts(self) -> dict[str, Count]:
        """By prompt (the last message of a chat, tokens joined by blanks). Failures are in `acts`."""
        return dict(self._counts)

    def connections(self) -> set[int]:
        """Those that are open and have sent a POST."""
        assert self._runner is not None
        assert self._runner.server is not None
        return {self._connections.get(each, -1) for each in self._runner.server.connections} - {-1}

    def at_rest(self) -> None:
        """Wait until all connections are closed and what they had asked is played out."""
        self._do(self._rest())

    def start(self, script: Script | None = None) -> str:
        """Listen on a free port; the base URL."""
        self.script = script or self.script
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="misbehaving", daemon=True)
        self._thread.start()
        self._do(self._open())
        return self.url

    def vanish(self) -> None:
        """As if the process were killed: no listener, every connection reset."""
        self._do(self._close())

    def come_back(self) -> None:
        """Listen again, on the same port."""
        self._do(self._open())

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.vanish()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None, "start() first"
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        self._over = asyncio.Event()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/classify"):
            app.router.add_post(path, self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        if self._runner is None or self._over is None:
            return
        self._over.set()
        for site in list(self._runner.sites):
            await site.stop()
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):  # type: ignore[union-attr]
            if connection.transport is not None:
                _reset(connection.transport)
        await self._runner.cleanup()
        self._runner = None

    async def _rest(self) -> None:
        quiet = 0  # a request that was read is not begun in the same turn of the loop
        while quiet < 5:
            await asyncio.sleep(0.01)  # no event tells of it
            assert self._runner is not None
            assert self._runner.server is not None
            quiet = 0 if self._now or self._runner.server.connections else quiet + 1

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, request: web.Request) -> web.Response:
        if (refused := self._locked(request)) is not None:
            return refused
        entry: dict[str, Any] = {"id": self.script.model, "object": "model"}
        if self.script.context is not None:
            entry["max_model_len"] = self.script.context
        return web.json_response({"object": "list", "data": [entry]})

    def _locked(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        if self.script.key is None or sent == f"Bearer {self.script.key}":
            return None
        return _error(401, f"Incorrect API key provided: {sent.removeprefix('Bearer ')}", "invalid_api_key")

    async def _post(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        port = int((request.transport.get_extra_info("peername") or (0, 0))[1])
        if (connection := self._connections.get(request.protocol)) is None:
            connection = self._connections[request.protocol] = len(self._connections)
        script, body = self.script, json.loads(await request.read())
        self.bodies.append((request.path, body))
        if (refused := self._locked(request)) is not None:
            return refused
        for name, status in script.refuses.items():
            if name in body:
                return _refused(name, status)
        prompt = _prompt(body)
        count = self._counts.setdefault(prompt, Count())
        full = 0 < script.capacity <= self._now
        act = "503" if full else self._act(prompt, count.asked)
        count.asked += 1
        count.acts.append(act)
        asked = Asked(prompt, connection, port)
        self.log.append(asked)
        self._now += 1
        self.peak = max(self.peak, self._now)
        try:
            if script.latency and not full:
                await asyncio.sleep(script.latency)
            name, _, argument = act.partition(":")
            if name in PAID:
                count.answered += 1
                asked.paid = True
            return await self._play(request, name, argument, body, prompt)
        finally:
            self._now -= 1

    def _act(self, prompt: str, time: int) -> str:
        for key, acts in self.script.acts.items():
            if key in prompt:
                return acts[min(time, len(acts) - 1)]
        if self.script.share:
            draw = hashlib.sha256(f"{self.script.seed}/{time}/{prompt}".encode()).digest()
            if int.from_bytes(draw[:4], "big") < self.script.share * 2**32:
                return self.script.faults[draw[4] % len(self.script.faults)]
        return "ok"

    async def _play(
        self, request: web.Request, act: str, argument: str, body: dict[str, Any], prompt: str
    ) -> web.StreamResponse:
        if act.isdigit():
            return _status(int(act), argument)
        if act in ("html", "html502"):
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            return web.Response(status=502 if act == "html502" else 200, text=page, content_type="text/html")
        if act == "invalid":
            return web.Response(body=b'{"choices": [{"text": "abc', content_type="application/json")
        if act == "slow":
            await asyncio.sleep(float(argument))
        if act in ("reset", "close", "cut", "silent", "trickle"):
            return await self._break(request, act)
        payload = _answer(request.path, body, prompt, self.script)
        _spoil(payload, act)
        return web.json_response(payload)

    async def _break(self, request: web.Request, act: str) -> web.StreamResponse:
        assert request.transport is not None
        assert self._over is not None
        if act == "reset":
            _reset(request.transport)
        elif act == "close":
            request.transport.close()
        elif act == "silent":
            await self._over.wait()
        else:
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100000"})
            await response.prepare(request)
            await response.write(b'{"choices": [{"te')
            while act == "trickle" and not self._over.is_set() and not request.transport.is_closing():
                await asyncio.sleep(0.02)
                await response.write(b" ")
            request.transport.close()
            return response
        return web.Response()


def _reset(transport: asyncio.BaseTransport) -> None:
    """RST instead of FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined]


def _prompt(body: dict[str, Any]) -> str:
    if "messages" in body:
        return str(body["messages"][-1]["content"])
    what = body.get("prompt", body.get("input"))
    return what if isinstance(what, str) else " ".join(map(str, what or ()))


def _error(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": "error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def _refused(name: str, status: int) -> web.Response:
    if status == 422:  # as transformers serve says it
        return web.json_response({"detail": f"Unexpected fields in the request: {{'{name}'}}"}, status=422)
    instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
    return _error(status, message, "unsupported_parameter")


def _status(status: int, argument: str) -> web.Response:
    settings = dict(part.partition("=")[::2] for part in argument.split(",")) if argument else {}
    headers = {}
    if "after" in settings:
        headers["Retry-After"] = settings["after"]
    if "date" in settings:
        now = datetime.now(UTC).replace(microsecond=0)
        headers["Date"] = format_datetime(now, usegmt=True)
        headers["Retry-After"] = format_datetime(now + timedelta(seconds=int(settings["date"])), usegmt=True)
    message = settings.get("message", f"this is a {status}").replace("_", " ")
    return _error(status, message, settings.get("code"), headers)


def _answer(path: str, body: dict[str, Any], prompt: str, script: Script) -> dict[str, Any]:
    """What a good server says. Tokens are words; token k of a prompt has log-probability -k/2, the first none."""
    words, text = prompt.split(), script.answer(prompt)
    usage = {"prompt_tokens": len(words), "completion_tokens": len(text.split())}
    payload: dict[str, Any] = {"id": "1", "model": script.model, "usage": usage}
    if path == "/v1/embeddings":
        payload["data"] = [{"index": 0, "object": "embedding", "embedding": [float(len(words)), 1.0, 2.0]}]
    elif path == "/classify":
        payload["data"] = [{"index": 0, "label": "a", "probs": [float(len(words)), -1.5], "num_classes": 2}]
    elif path == "/v1/chat/completions":
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        payload["choices"] = [choice]
    else:
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        _score(choice, body, words, script.scoring)
        payload["choices"] = [choice]
    return payload


def _score(choice: dict[str, Any], body: dict[str, Any], words: list[str], scoring: str) -> None:
    values: list[float | None] = [None, *(-k / 2 for k in range(1, len(words)))]
    if scoring == "vllm" and body.get("prompt_logprobs") is not None:
        choice["prompt_logprobs"] = [
            None if v is None else {str(k): {"logprob": v, "rank": 1, "decoded_token": words[k]}}
            for k, v in enumerate(values)
        ]
    if body.get("echo") and scoring == f"echo{body['max_tokens']}":
        more = [] if body["max_tokens"] == 0 else [-9.0]
        choice["logprobs"] = {"tokens": [*words, *(["more"] if more else [])], "token_logprobs": [*values, *more]}


def _spoil(payload: dict[str, Any], act: str) -> None:
    if act == "no-usage":
        del payload["usage"]
    elif act == "empty":
        payload["choices"] = []
    elif act == "wrong-model":
        payload["model"] = "another"
    elif act in ("length", "filter", "abort"):
        payload["choices"][0]["finish_reason"] = {"filter": "content_filter"}.get(act, act)
    elif act == "null":
        choice = payload["choices"][0]
        choice.get("message", choice)["content" if "message" in choice else "text"] = None
