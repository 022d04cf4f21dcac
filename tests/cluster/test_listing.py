"""Times in answers of S3: the same moment as botocore's own reading of them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.utils import parse_timestamp

from cluster.objects.listing import moment


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-21T20:00:00.123Z", datetime(2026, 11, 21, 20, 0, 0, 123_000, UTC)),
        ("2026-11-21T20:00:00Z", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        ("2026-11-21T22:00:00+02:00", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 20:00:00 GMT", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        (1795291200, datetime(2026, 11, 21, 20, tzinfo=UTC)),
    ],
)
def test_time_is_read_as_botocore_reads_it(text: Any, at: datetime) -> None:
    assert moment(text) == at
    assert parse_timestamp(text) == at
