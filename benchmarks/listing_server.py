"""Listings of a bucket in milliseconds of CPU, for moto: it looks at all keys for every page and takes 0.25 s for one.

A page takes PAGE_S before it is answered, as a store's does, however many are asked for at once.
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote

PAGE_S = 0.1  # what S3 takes for a thousand names is about that
PAGE = 1000
END = "\U0010ffff"  # behind all names with a prefix


class Listings:
    """ListObjectsV2 over `keys`, moto's own; `changed` is to be said whenever a key comes or goes."""

    def __init__(self, bucket: str, keys: Any) -> None:
        self._bucket, self._keys = bucket, keys
        self.changed = True
        self._names: list[str] = []

    def page(self, asked: dict[str, str]) -> bytes:
        """The answer to a query."""
        if self.changed:
            self.changed = False
            self._names = sorted(self._keys)
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        after = bytes.fromhex(asked.get("continuation-token", "")).decode() or asked.get("start-after", "")
        at = max(bisect_left(self._names, prefix), bisect_right(self._names, after) if after else 0)
        end = bisect_left(self._names, prefix + END)
        lines, last = [], ""
        while at < end and len(lines) < int(asked.get("max-keys", PAGE)):
            last = self._names[at]
            head, found, _ = last[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                last = prefix + head + delimiter
                lines.append(f"<CommonPrefixes><Prefix>{quote(last)}</Prefix></CommonPrefixes>")
                last += END
                at = bisect_left(self._names, last)
            else:
                lines.append(self._entry(last))
                at += 1
        more = f"<NextContinuationToken>{last.encode().hex()}</NextContinuationToken>" if at < end else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self._bucket}</Name><Prefix>{quote(prefix)}</Prefix><KeyCount>{len(lines)}</KeyCount>"
            f"<EncodingType>url</EncodingType><IsTruncated>{str(at < end).lower()}</IsTruncated>{more}"
            f"{''.join(lines)}</ListBucketResult>"
        ).encode()

    def _entry(self, name: str) -> str:
        key = self._keys[name]
        return (
            f"<Contents><Key>{quote(name)}</Key><LastModified>{key.last_modified_ISO8601}</LastModified>"
            f"<ETag>{key.etag.replace(chr(34), '&quot;')}</ETag><Size>{key.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


def listing_by(listings: Listings, application: Any) -> Callable[..., Iterable[bytes]]:
    """The `__call__` of moto's application with these listings in the place of its own."""
    real = application.__call__

    def call(self: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        if "list-type" not in asked:
            answer: Iterable[bytes] = real(self, environ, start_response)
            listings.changed |= environ["REQUEST_METHOD"] != "GET"
            return answer
        time.sleep(PAGE_S)
        body = listings.page(asked)
        start_response("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return call
