"""The slot of an S3 bucket: `If-None-Match: *` for a first put, `If-Match` with the ETag for a change."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from fsspec.asyn import sync

from cluster.objects.patience import patiently
from cluster.objects.swap import NotSupportedError, Seen

UNKNOWN = ("NotImplemented", "InvalidArgument", "501")  # what a store says of a condition that it does not know
REFUSED = ("PreconditionFailed", "412")
BUSY = ("ConditionalRequestConflict", "409")  # two puts at once: one of them is asked to try again
GONE = ("NoSuchKey", "404")
TRIES = 5


@dataclass(frozen=True)
class S3:
    """An object. Not every store can delete on a condition, so what is left is empty."""

    filesystem: Any
    bucket: str
    key: str
    condition: ClassVar[str] = "If-None-Match"

    def read(self) -> Seen | None:
        async def get() -> Seen:
            out = await self.filesystem._call_s3("get_object", Bucket=self.bucket, Key=self.key)
            async with out["Body"] as body:
                return Seen(await body.read(), out["ETag"])

        try:
            return patiently(lambda: cast(Seen, sync(self.filesystem.loop, get)))
        except FileNotFoundError:
            return None

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen.tag}
        for _ in range(TRIES):
            try:
                out = self.filesystem.call_s3("put_object", Bucket=self.bucket, Key=self.key, Body=data, **condition)
            except OSError as error:
                code = _code(error)
                if code in UNKNOWN:
                    raise NotSupportedError(f"the store answered {code} to a conditional put") from error
                if code not in (*REFUSED, *BUSY, *GONE):
                    raise
                now = self.read()
                if now is not None and now.data == data:
                    return now  # sent again, as its first answer was lost, a put is refused for its own sake
                if code in REFUSED and seen is not None and now == seen and condition["IfMatch"] == seen.tag:
                    condition = {"IfMatch": seen.tag.strip('"')}  # Ceph compares it with its own, which has no quotes
                elif code not in BUSY or now != seen:
                    return None
            else:
                return Seen(data, out["ETag"])
        return None

    def leave(self, seen: Seen) -> None:
        self.swap(seen, b"")


def _code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
