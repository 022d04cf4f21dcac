"""A beat that a store took, though its answer never came: the lease stays its holder's, and goes when it ends."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import lease as module
from cluster.errors import LeaseLostError
from cluster.lease import NAME, Held, confirm, take
from cluster.objects.conditional import Locked, slot
from cluster.objects.swap import Seen
from cluster.storage import Folder


@pytest.fixture
def lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    """One that is not renewed by itself."""
    taken = take(Folder(str(tmp_path)), print)
    taken._ended.set()
    taken._thread.join()
    monkeypatch.setattr(module, "RENEW_S", 0.0)
    return taken


def beats(lease: Held, monkeypatch: pytest.MonkeyPatch, *answers: Callable[[Seen | None], Seen | None]) -> int:
    """Renew the lease as often as there are `answers` to what the store says of a beat; how many were asked for."""
    real, left = Locked.swap, list(answers)
    lease._ended.clear()

    def swap(self: Locked, seen: Seen | None, data: bytes) -> Seen | None:
        answer = left.pop(0)
        if not left:
            lease._ended.set()
        return answer(real(self, seen, data))

    with monkeypatch.context() as patch:
        patch.setattr(Locked, "swap", swap)
        lease._renew()
    return len(answers) - len(left)


def heard(seen: Seen | None) -> Seen | None:
    return seen


def lost(seen: Seen | None) -> Seen | None:
    raise TimeoutError("the answer did not come")


def test_beat_whose_answer_was_lost_does_not_end_the_renewal(
    tmp_path: Path, lease: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third is refused, as the second stands there; the fourth changes that.
    assert beats(lease, monkeypatch, heard, lost, heard, heard) == 4
    there = slot(Folder(str(tmp_path)), NAME).read()
    assert there == lease.seen
    assert there is not None
    assert b'"beat": 4' in there.data
    confirm(str(tmp_path), lease.holder)


def test_store_that_cannot_be_read_then_is_asked_again(
    tmp_path: Path, lease: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, troubles = Locked.read, [TimeoutError("no answer")]

    def reading(self: Locked) -> Seen | None:
        seen = read(self)
        if troubles and seen is not None and b'"beat": 1' in seen.data:
            raise troubles.pop()
        return seen

    monkeypatch.setattr(Locked, "read", reading)
    assert beats(lease, monkeypatch, lost, heard, heard, heard) == 4
    confirm(str(tmp_path), lease.holder)


@pytest.mark.parametrize("there", [b'{"holder": "other", "host": "den", "pid": 9, "since": "noon"}', b"{", b"", None])
def test_lease_that_is_another_ones_is_not_renewed(
    tmp_path: Path, lease: Held, monkeypatch: pytest.MonkeyPatch, there: bytes | None
) -> None:
    place = slot(Folder(str(tmp_path)), NAME)
    if there is None:
        place.leave(lease.seen)
    else:
        assert place.swap(lease.seen, there)
    assert beats(lease, monkeypatch, heard, heard) == 1
    with pytest.raises(LeaseLostError):
        confirm(str(tmp_path), lease.holder)
    lease.release()
    assert getattr(place.read(), "data", None) == there  # nothing of another one's is taken away


def test_lease_is_left_at_the_end_though_its_last_beat_was_not_heard_of(
    tmp_path: Path, lease: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats(lease, monkeypatch, lost)
    lease.release()
    assert lease.slot.read() is None
    take(Folder(str(tmp_path)), print).release()
