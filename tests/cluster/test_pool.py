"""Pools: grown to the work, no further than allowed, shrunk when idle, mended when an actor is lost."""

from typing import Any

import pytest
import ray

from cluster.driver.pool import Pool, room_for
from cluster.errors import ConfigError
from stages.stage import Resources

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@ray.remote(num_cpus=0)
class Idle:
    def ready(self) -> bool:
        return True


def make() -> Any:
    return Idle.remote()


def test_pool_grows_to_its_work_and_no_further() -> None:
    pool = Pool(make, maximum=3, in_flight=2)
    for work, size in ((0, 0), (1, 1), (3, 2), (100, 3)):
        pool.resize(work)
        assert len(pool) == size
    pool.close()
    assert len(pool) == 0


def test_idle_actors_go_and_busy_ones_stay() -> None:
    pool = Pool(make, maximum=3)
    pool.resize(3)
    busy = pool.take()
    pool.resize(1)
    assert len(pool) == 1
    assert pool.take() is None  # the one that is left has its call
    pool.give(busy)
    assert pool.take() == busy
    pool.close()


def test_minimum_is_kept_without_work() -> None:
    pool = Pool(make, maximum=3, minimum=2)
    pool.resize(0)
    assert len(pool) == 2
    pool.close()


def test_lost_actor_is_replaced() -> None:
    pool = Pool(make, maximum=2)
    pool.resize(2)
    lost = pool.take()
    pool.lost(lost)
    assert len(pool) == 1
    pool.resize(2)
    assert len(pool) == 2
    pool.close()


def test_worker_that_no_node_can_hold_is_refused_before_it_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"no node can hold a worker: it takes GPU 16 \(cluster has 2\)"):
        room_for(Resources(gpus=16), ray.cluster_resources())


def test_actor_that_is_still_starting_gets_no_call() -> None:
    pool = Pool(make, maximum=2, ready=lambda actor: actor.ready.remote())
    pool.resize(2)
    assert pool.take() is None
    first, _ = pool.starting
    ready = pool.starting[first]
    pool.started(first)
    assert pool.take() == ready
    assert pool.take() is None
    pool.lost(ready)
    assert len(pool.starting) == 1
    pool.close()


def test_call_that_must_be_alone_gets_an_actor_to_itself() -> None:
    pool = Pool(make, maximum=1, in_flight=3)
    pool.resize(1)
    actor = pool.take()
    assert pool.take(alone=True) is None  # it has another call
    pool.give(actor)
    assert pool.take(alone=True) == actor
    assert pool.take() is None
    pool.give(actor)
    assert [pool.take() for _ in range(4)] == [actor, actor, actor, None]
    pool.close()


def test_pool_that_keeps_its_actors_does_not_shrink() -> None:
    pool = Pool(make, maximum=2)
    pool.resize(2)
    pool.resize(0, shrink=False)
    assert len(pool) == 2
    pool.close()


def test_those_that_have_not_started_go_first() -> None:
    pool = Pool(make, maximum=2, ready=lambda actor: actor.ready.remote())
    pool.resize(2)
    pool.started(next(iter(pool.starting)))
    (works,) = (actor for actor in pool.actors if actor not in pool.starting.values())
    pool.resize(1)
    assert pool.actors == [works]
    assert pool.take() == works
    pool.close()
