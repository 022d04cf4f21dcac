"""Google Cloud Storage by its JSON API, through gcsfs: a file is whole or not there, and a slot goes by generations.

gcsfs's own upload of one request has a fixed boundary, and is refused where a page holds it: ours is drawn for each.
Its filesystem of zonal buckets is not used, as their files are seen while they are written.
"""

import asyncio
import contextlib
import io
import json
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from urllib.parse import quote

from fsspec.asyn import sync

from cluster.objects.gcs_patience import Patience, Request, check_upload
from cluster.objects.swap import NotSupportedError, Seen

TESTED = "2026.10.1"


def google(**options: Any) -> Any:
    """The filesystem of gcsfs with our patience and our uploads."""
    try:
        from gcsfs.core import GCSFileSystem  # type: ignore[import-not-found]  # noqa: PLC0415 - of those who need it
    except ModuleNotFoundError as error:
        raise ImportError(f"Google Cloud Storage needs gcsfs: pip install 'headrace[gcs]' ({error})") from error
    once_of: Any = getattr(GCSFileSystem._request, "__wrapped__", None)  # a request without gcsfs's own tries
    if once_of is None:
        raise ImportError(f"this gcsfs sends its requests in a way that is not known here: pip install gcsfs=={TESTED}")

    class Google(GCSFileSystem):  # type: ignore[misc]
        """What gcsfs asks goes through `Patience`; a small file goes as `insert` sends it."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._patience = Patience(self._connected)

        async def _request(self, method: str, path: str, *args: str, **asked: Any) -> Any:
            body = asked.get("data")

            async def once() -> Any:
                if isinstance(body, bytes | memoryview):  # aiohttp sends those in one piece: nothing else goes on then
                    asked["data"] = io.BytesIO(body)
                answer = await once_of(self, method, path, *args, **asked)
                check_upload(answer, asked)
                return answer

            return await self._patience.send(once, Request(method, self._format_path(path, args), asked))

        async def _pipe_file(self, path: str, value: bytes) -> None:
            bucket, key, _ = self.split_path(path)
            await insert(self, bucket, key, value)

        def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
            # Reading ahead by one block, as on S3: gcsfs's own way would hold many of them.
            return super()._open(path, mode, **{"cache_type": "readahead", **options})

        async def _connected(self) -> None:
            await asyncio.to_thread(self.credentials.connect, self.credentials.token)

    return Google(**options)


async def insert(filesystem: Any, bucket: str, key: str, data: bytes, about: Any = None, **condition: str) -> str:
    """Put an object by one request, which is whole or not there; gives its generation. `about` is more to say of it."""
    boundary = uuid.uuid4().hex
    head = json.dumps({"name": key, **(about or {})})
    body = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{head}\r\n"
        f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    answer = await filesystem._call(
        "POST",
        f"{filesystem._location}/upload/storage/v1/b/{quote(bucket, safe='')}/o",
        uploadType="multipart",
        name=key,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
        data=b"".join((body.encode(), data, f"\r\n--{boundary}--\r\n".encode())),
        json_out=True,
        **condition,
    )
    return str(answer["generation"])


@dataclass(frozen=True)
class GCS:
    """An object, by its generation: 0 is none at all. It can be deleted on a condition, so nothing is left."""

    filesystem: Any
    bucket: str
    key: str
    condition: ClassVar[str] = "ifGenerationMatch"

    def read(self) -> Seen | None:
        async def get() -> Seen:
            headers, data = await self.filesystem._call("GET", self.filesystem.url(f"{self.bucket}/{self.key}"))
            if "X-Goog-Generation" not in headers:
                raise NotSupportedError("the store does not tell the generation of what it sends")
            return Seen(data, headers["X-Goog-Generation"])

        try:
            return cast(Seen, sync(self.filesystem.loop, get))
        except FileNotFoundError:
            return None

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        async def put() -> Seen:
            about = {"cacheControl": "no-store"}  # or a bucket that all may read would show what has been, for an hour
            match = "0" if seen is None else seen.tag
            return Seen(
                data, await insert(self.filesystem, self.bucket, self.key, data, about, ifGenerationMatch=match)
            )

        try:
            return cast(Seen, sync(self.filesystem.loop, put))
        except FileExistsError:
            now = self.read()
            return now if now is not None and now.data == data else None  # refused for its own sake, as with S3

    def leave(self, seen: Seen) -> None:
        async def delete() -> None:
            await self.filesystem._call("DELETE", "b/{}/o/{}", self.bucket, self.key, ifGenerationMatch=seen.tag)

        with contextlib.suppress(FileExistsError, FileNotFoundError):
            sync(self.filesystem.loop, delete)
