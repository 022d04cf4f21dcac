"""The slot of an Azure container: `If-None-Match: *` for a first put, `If-Match` with the ETag for a change."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast

from fsspec.asyn import sync

from cluster.objects.patience import patiently
from cluster.objects.swap import Seen


@dataclass(frozen=True)
class Azure:
    """A blob, by its ETag. What is left is empty, as with S3."""

    filesystem: Any
    container: str
    key: str
    condition: ClassVar[str] = "If-None-Match"

    def read(self) -> Seen | None:
        async def get() -> Seen:
            stream = await self._blob().download_blob()
            return Seen(await stream.readall(), stream.properties.etag)

        try:
            return patiently(lambda: cast(Seen, sync(self.filesystem.loop, get)))
        except Exception as error:
            if _status(error) == HTTPStatus.NOT_FOUND:
                return None
            raise

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        condition: dict[str, Any] = {"overwrite": False}
        if seen is not None:
            from azure.core import MatchConditions  # type: ignore[import-not-found]  # noqa: PLC0415 - with adlfs

            condition = {"overwrite": True, "etag": seen.tag, "match_condition": MatchConditions.IfNotModified}

        async def put() -> Seen:
            return Seen(data, (await self._blob().upload_blob(data, **condition))["etag"])

        try:
            return cast(Seen, sync(self.filesystem.loop, put))
        except Exception as error:
            if _status(error) not in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_FOUND):
                raise
        now = self.read()
        return now if now is not None and now.data == data else None  # as with S3: it may be our own that is there

    def leave(self, seen: Seen) -> None:
        self.swap(seen, b"")

    def _blob(self) -> Any:
        return self.filesystem.service_client.get_blob_client(self.container, self.key)


def _status(error: Exception) -> int | None:
    return getattr(error, "status_code", None)
