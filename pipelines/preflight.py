"""Before a run starts: do the servers of its models let us in, and do they have the model?

One GET /models for each server and key. A server that refuses the key (401, 403) ends the command with status 2; so
does OpenAI's without a key. A server that lists other models may have this one all the same (gateways need not list
all), so it is asked for one token, and a 404 ends the command. A server that is not there, has no such route or says
anything else is no fault here: it may come up later, and workers may reach what this machine does not.

Nothing is asked where the output is finished already: then the run only tells its totals again.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

from cluster.errors import ConfigError
from cluster.plan import Plan
from cluster.storage import Folder
from schemas.credentials import redacted
from stages.models.spec import Spec, parse
from stages.stage import execution_of, name_of

SECONDS = 5.0  # that a server has for an answer; a slow one is none that refuses
PAYS = "api.openai.com"
MOST = 8 << 20  # bytes of an answer; gateways list thousands of models
SHOWN = 10  # models named
REFUSED, UNKNOWN = (401, 403), 404


def check_servers(plan: Plan, output: str | None = None, fresh: bool = False) -> None:
    """`ConfigError` with every server that refuses us."""
    specs = {(s.target, s.model, s.options["key_env"]): (who, s) for who, s in _servers(plan)}
    if not specs or (output is not None and not fresh and _finished(output)):
        return
    faults = [fault for who, spec in specs.values() if (fault := _unset(who, spec))]
    if not faults:
        faults = [fault for fault in asyncio.run(_all(list(specs.values()))) if fault]
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))


def _servers(plan: Plan) -> Iterator[tuple[str, Spec]]:
    for planned in plan.steps:
        for stage in planned.step.stages:
            engine = execution_of(stage).get("engine")
            if isinstance(engine, str) and engine.startswith("openai:"):
                yield name_of(stage), parse(engine, name_of(stage))


def _finished(output: str) -> bool:
    """Whether `run.json` says so; what cannot be read is met again where it is told of better."""
    folder = Folder(output)
    try:
        result = json.loads(folder.get("run.json")) if folder.exists("run.json") else None
    except (OSError, ValueError):
        return False
    return isinstance(result, dict) and result.get("status") == "done"


def _unset(who: str, spec: Spec) -> str | None:
    variable = spec.options["key_env"]
    if spec.target.partition("://")[2].partition("/")[0].partition(":")[0] != PAYS or _key(spec):
        return None
    return f"{who}: {PAYS} takes a key, and ${variable} is not set; set it, or name another server in {who}.engine"


def _key(spec: Spec) -> str:
    return os.environ.get(spec.options["key_env"], "").strip()


async def _all(servers: list[tuple[str, Spec]]) -> list[str | None]:
    return list(await asyncio.gather(*(_asked(who, spec) for who, spec in servers)))


async def _asked(who: str, spec: Spec) -> str | None:
    """Why the server of `spec` will not do; None if it does, or does not say."""
    import aiohttp  # noqa: PLC0415 - only where there is a server

    key = _key(spec)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            async with session.get(f"{spec.target}/models", allow_redirects=False) as response:
                status, said = response.status, await _body(response)
            if status in REFUSED:
                variable = spec.options["key_env"]
                why = f"the key in ${variable} is refused" if key else f"it takes a key, and ${variable} is not set"
                return f"{who}: {spec.target}: {why} (status {status}: {_short(said, key)})"
            if status == 200 and (names := _names(said)) and spec.model not in names:
                return await _tried(session, who, spec, names)
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError, ValueError):
        pass
    return None


async def _tried(session: Any, who: str, spec: Spec, names: list[str]) -> str | None:
    """A token of a model that is not listed: it is there, or it is not."""
    chats = spec.options["style"] != "completions"
    prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]} if chats else {"prompt": "Hello"}
    body = {"model": spec.model, "max_tokens": 1, **prompt}
    url = f"{spec.target}/{'chat/completions' if chats else 'completions'}"
    async with session.post(url, json=body, allow_redirects=False) as response:
        if response.status != UNKNOWN or spec.model not in (said := await _body(response)):
            return None
    there = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{who}: {spec.target} has no model {spec.model!r}; it has {there} ({_short(said, '')})"


async def _body(response: Any) -> str:
    """What a server says, up to `MOST` bytes of it."""
    found = bytearray()
    async for part in response.content.iter_chunked(1 << 16):
        found += part
        if len(found) >= MOST:
            break
    return found.decode("utf-8", "replace")


def _names(said: str) -> list[str]:
    """Ids of an answer to GET /models; none where it has another form."""
    data = json.loads(said)
    entries = data.get("data") if isinstance(data, dict) else None
    return [str(e["id"]) for e in entries if isinstance(e, dict) and "id" in e] if isinstance(entries, list) else []


def _short(said: str, key: str) -> str:
    """The beginning of what a server said on one line; servers repeat a key that they do not like."""
    text = " ".join(said.split())
    return redacted(text.replace(key, "***") if key else text)[:200]
