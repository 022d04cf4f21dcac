"""The records of a web archive by their place in the file, so that a benchmark can cut it."""

from dataclasses import dataclass
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType


@dataclass(frozen=True)
class Record:
    """A response of the archive: `id` as WARC-Record-ID, `start` and `stop` of its gzip member in the file."""

    id: str
    url: str
    start: int
    stop: int


def records_of(warc: Path) -> list[Record]:
    """Every response of an archive with one gzip member a record, in order."""
    with warc.open("rb") as file:
        found = [
            (record.stream_pos, record.record_type, record.record_id, record.headers.get("WARC-Target-URI", ""))
            for record in ArchiveIterator(file, parse_http=False)
        ]
    stops = [start for start, *_ in found[1:]] + [warc.stat().st_size]
    return [
        Record(id_, url, start, stop)
        for (start, kind, id_, url), stop in zip(found, stops, strict=True)
        if kind == WarcRecordType.response
    ]


def member(warc: Path, record: Record) -> bytes:
    """A record's gzip member: an archive of that one record."""
    with warc.open("rb") as file:
        file.seek(record.start)
        return file.read(record.stop - record.start)
