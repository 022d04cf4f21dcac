"""Long listings of S3: many pages at a time, and each read in a tenth of botocore's time.

A store gives a thousand names a page, and the next page only to who has that one: 90,000 take 90 answers in a row.
Where a page shows that names count on (`...-00999.warc.gz`), what is behind it is asked for in parts side by side, by
prefix: together the parts are all that is behind that page, whatever there is. A page on whose order nothing can be
built is followed by the next one.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree  # expat, by which botocore reads the same answers

from fsspec.asyn import sync

AT_ONCE = 10  # requests: as many connections as botocore keeps
LEVELS = 2  # places of a number at which one page is split: 1,000 and 10,000 behind a page of 0 to 999
RUNS = ("0123456789", "abcdef")  # what names count with: signs that follow one another
OVER = "~"  # behind whatever else stands there in a name; what is behind this one is asked for twice
BEFORE_PARSE = "before-parse.s3.*"  # its handlers come before those of an operation by name
FIRST, LAST = b"<Contents>", b"</Contents>"


@dataclass(frozen=True)
class Part:
    """Names that begin with `prefix` and come behind `after`; from the page on that `token` stands for."""

    prefix: str
    after: str = ""
    token: str = ""


def objects(filesystem: Any, path: str, delimiter: str = "") -> dict[str, dict[str, Any]]:
    """What s3fs tells of the objects below the folder `path`, by path and sorted; those directly in it with `/`."""
    bucket, key, _ = filesystem.split_path(path)
    asked = {"Bucket": bucket, "Delimiter": delimiter, **filesystem.req_kw}
    found: dict[str, dict[str, Any]] = {}

    async def ask(part: Part) -> list[Part]:
        more = {"StartAfter": part.after} if part.after and not part.token else {}
        more |= {"ContinuationToken": part.token} if part.token else {}
        out = await filesystem._call_s3("list_objects_v2", Prefix=part.prefix, **asked, **more)
        entries = out.get("Contents", [])
        keys = [entry["Key"] for entry in entries]
        for name, entry in zip(keys, entries, strict=True):
            entry |= {"type": "file", "size": entry["Size"], "name": f"{bucket}/{name}"}
            found[entry["name"]] = entry
        if not out.get("IsTruncated"):
            return []
        behind = [] if out.get("CommonPrefixes") else split(part, keys)
        return behind or [replace(part, token=out["NextContinuationToken"])]

    sync(filesystem.loop, _ask_all, ask, Part(f"{key.lstrip('/')}/" if key else ""))
    return dict(sorted(found.items()))


def directly_in(filesystem: Any, path: str) -> list[dict[str, Any]]:
    """The files directly in the folder `path`; none if it is not there."""
    try:
        found = objects(filesystem, path, "/") if "s3" in filesystem.protocol else {}
        entries = found.values() or filesystem.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return [entry for entry in entries if entry["type"] == "file"]


async def _ask_all(ask: Any, first: Part) -> None:
    """Ask for `first`, and for what is behind each answer."""
    waiting, running = [first], set[asyncio.Task[list[Part]]]()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.add(asyncio.ensure_future(ask(waiting.pop())))
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                waiting += task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def split(part: Part, page: list[str]) -> list[Part]:
    """What is in `part` behind this page of it, as parts; none if the page does not show how names go on.

    Of names that agree up to where they count: those that begin as the last one, then those with a higher digit in a
    place before, then whatever is behind those.
    """
    if not page or page[0] <= part.after or any(a >= b for a, b in pairwise(page)):
        return []  # the store sorts in another way, or does not know `after`
    last = page[-1]
    differ = (at for at, (a, b) in enumerate(zip(page[0], last, strict=False)) if a != b)
    same = next(differ, len(page[0]))
    places = [at for at in range(same - 1, len(part.prefix) - 1, -1) if _higher(last[at])][:LEVELS]
    if not places:
        return []
    parts, after = [Part(last[: places[0] + 1], last)], last
    for at, before in zip(places, [*places[1:], len(part.prefix) - 1], strict=True):
        higher = _higher(last[at])
        parts += [Part(last[:at] + sign) for sign in higher]
        after = f"{last[:at]}{higher[-1]}{OVER}"
        parts.append(Part(last[: before + 1], after))
    return parts


def _higher(sign: str) -> str:
    """The signs with which a number goes on that has got to `sign` in a place."""
    run = next((run for run in RUNS if sign in run), sign)
    return run[run.index(sign) + 1 :]


def with_quick_pages(session: Any) -> Any:
    """`session`, an aiobotocore one: its clients read listings by `read_contents`, and what it leaves by themselves."""
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    events = session.get_component("event_emitter")
    events.register_first(BEFORE_PARSE, read_contents)
    from botocore import handlers  # type: ignore[import-untyped]  # noqa: PLC0415 - a second of imports

    # Botocore looks for an error in every answer, by parsing all of it. It gets what is left, as its parser does.
    check = getattr(handlers, "_handle_200_error", None)
    if check is not None:
        events.unregister(BEFORE_PARSE, check)
        events.register(BEFORE_PARSE, check)
    return session


def read_contents(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Botocore's event `before-parse`: what a page lists is read here, and the rest of the answer left to botocore.

    An answer that is not as S3 writes it is left as it is.
    """
    if operation_model.name != "ListObjectsV2":
        return
    body = response_dict["body"]
    begin, end = body.find(FIRST), body.rfind(LAST) + len(LAST)
    if response_dict["status_code"] != 200 or not 0 <= begin < end:
        return
    rest = body[:begin] + body[end:]
    try:
        root = ElementTree.fromstring(b"<_>" + body[begin:end] + b"</_>")  # noqa: S314 - expat bounds what entities make
        entries = list(_entries(root))
    except (ElementTree.ParseError, KeyError, TypeError, ValueError):
        return
    if FIRST[:-1] not in rest:
        response_dict["body"] = rest
        customized_response_dict["Contents"] = entries


def _entries(root: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Of each object what is asked for here: no owner, no checksums."""
    for contents in root:
        said = {field.tag: field.text for field in contents}
        if contents.tag != "Contents" or not said["Key"]:
            raise ValueError("not what a page of objects is made of")
        entry = {"Key": said["Key"], "Size": int(said["Size"]), "LastModified": moment(said["LastModified"])}
        for name in ("ETag", "StorageClass"):
            if name in said:
                entry[name] = said[name] or ""
        yield entry


def moment(text: Any) -> datetime:
    """What botocore makes of a time in an answer: with its zone."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    except (TypeError, ValueError):
        pass
    from botocore.utils import parse_timestamp  # type: ignore[import-untyped]  # noqa: PLC0415 - a second of imports

    guessed: datetime = parse_timestamp(text)
    return guessed
