"""The machine's clock jumps by hours, back and forward: no lease is stolen or lost, nothing waits, nothing differs.

`time.time` is what jumps (NTP, a virtual machine that was asleep, a person). Leases, progress and the ledger go by
`time.monotonic`, which does not.
"""

import itertools
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import lease
from cluster.errors import ConfigError
from cluster.lease import held, take
from cluster.ledger import Ledger
from cluster.storage import Folder
from tests.fakes import DropWith, Upper
from tests.runs import account, dataset, one_step, plan_over, run_local, write

HOURS = (+7 * 3600.0, -30 * 3600.0, 0.0, +400 * 86400.0)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is hours away from the one before."""
    true, jumps = time.time, itertools.cycle(HOURS)
    monkeypatch.setattr(time, "time", lambda: true() + next(jumps))


def test_a_run_under_a_jumping_clock_makes_the_same(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = write(tmp_path / "in", {"a.txt": "one\nspam\ntwo\n" * 20, "b.txt": "three\nspam\n"})
    plan = plan_over(one_step(DropWith("spam"), Upper()), source)
    whole = run_local(plan, tmp_path / "whole")
    request.getfixturevalue("jumping")
    result = run_local(plan, tmp_path / "jumped")
    assert 0 <= result["seconds"] < 600
    assert all(0 <= step["seconds"] < 600 for step in result["steps"])
    status = json.loads((tmp_path / "jumped/status.json").read_text())
    assert status["eta_seconds"] is None or 0 <= status["eta_seconds"] < 600
    assert account(result) == account(whole)
    assert dataset(tmp_path / "jumped") == dataset(tmp_path / "whole")


def test_a_live_holder_keeps_its_lease_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host, which knows nothing of the holder's process, watches: it sees the lease renewed and gives up."""
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "LOOK_S", 0.02)
    folder = Folder(str(tmp_path / "out"))
    told: list[str] = []
    true = time.time
    with held(folder) as holder:
        elsewhere = replace(lease.this_process(), host="elsewhere", place="another boot")
        monkeypatch.setattr(lease, "_place", lambda: (elsewhere.host, elsewhere.place))
        for hours in HOURS:
            monkeypatch.setattr(time, "time", lambda hours=hours: true() + hours)
            with pytest.raises(ConfigError, match="another run is writing to it"):
                take(folder, told.append)
        lease.confirm(folder.url, holder)
    assert len(told) == len(HOURS)


def test_a_dead_holder_expires_by_what_has_passed_not_by_what_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease from the future, or from last year, is taken over after it has been watched for as long as it lasts."""
    monkeypatch.setattr(lease, "LASTS_S", 0.3)
    monkeypatch.setattr(lease, "LOOK_S", 0.02)
    for number, since in enumerate(("2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00")):
        folder = Folder(str(tmp_path / str(number)))
        record = {
            "version": 1, "holder": "other", "host": "elsewhere", "place": "p", "pid": 7, "started": 0.0,
            "since": since, "lasts_s": 0.3, "beat": 3,
        }  # fmt: skip
        folder.put(lease.NAME, json.dumps(record).encode())
        begun = time.monotonic()
        mine = take(folder, lambda _: None)
        assert time.monotonic() - begun >= 0.3
        lease.confirm(folder.url, mine.holder)
        mine.release()


@pytest.mark.usefixtures("jumping")
def test_what_was_paid_for_under_a_jumping_clock_is_found_again(tmp_path: Path) -> None:
    answers = {bytes([n]) * 16: b"answer %d" % n for n in range(200)}
    ledger = Ledger(str(tmp_path), "step")
    for key, value in answers.items():
        ledger.add(key, value)
    ledger.close()
    again = Ledger(str(tmp_path), "step")
    assert again.find(list(answers)) == answers
    again.close()
