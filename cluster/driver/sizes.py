"""How many workers each group of a step gets, by what the cluster has and what a worker takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray

from cluster.driver.pool import demand, room_for
from cluster.errors import ConfigError
from cluster.ledger import asks
from cluster.plan import Group, PlannedStep, fused

READING = 3  # shares of the CPUs for reading and for models on CPUs, where other stages behind them have one


def pool_sizes(planned: PlannedStep, workers: int | None, have: dict[str, float]) -> list[int]:
    """Most workers for each group on a cluster that has this; `workers` bounds those without a GPU.

    Every group has one. Those on GPUs get more in turn, as far as GPUs, CPUs and memory go, so that models of
    different sizes share a GPU; the CPUs that are left go to the others, most of them to the readers.
    """
    groups = planned.groups
    for group in groups:
        room_for(group.resources, have)
    sizes = [1] * len(groups)
    if not _fits(groups, sizes, have):
        raise ConfigError(_too_small(planned, have))
    on_gpu = [g for g, group in enumerate(groups) if group.resources.gpus]
    growing = set(on_gpu)
    while growing:
        g = min(growing, key=lambda g: (sizes[g], -groups[g].resources.gpus, g))
        sizes[g] += 1
        if not _fits(groups, sizes, have):
            sizes[g] -= 1
            growing.remove(g)
    on_cpu = [g for g in range(len(groups)) if g not in on_gpu]
    taken = sum(sizes[g] * groups[g].resources.cpus for g in on_gpu)
    shares = {g: READING if g == 0 or asks(groups[g].stages) else 1 for g in on_cpu}
    left = have.get("CPU", 0.0) - taken
    for g in reversed(on_cpu):  # the readers last: what the others leave
        share = left * shares[g] / sum(shares[h] for h in on_cpu if h <= g)
        _grow(sizes, g, min(int(share // groups[g].resources.cpus), workers or 1 << 30), groups, have)
        left -= sizes[g] * groups[g].resources.cpus
    return sizes


def fitting(planned: PlannedStep) -> PlannedStep:
    """`planned`, its groups without GPUs joined where they follow one another, if there is no room for one of each."""
    if _fits(planned.groups, [1] * len(planned.groups), ray.cluster_resources()):
        return planned
    return replace(planned, groups=fused(planned.groups))


def devices_hold(gpus: Mapping[float, int], devices: int) -> bool:
    """True if so many workers that take these parts of a GPU fit: no part is spread over two.

    The largest are placed first, each on the fullest device that holds it. Devices with the same room left are one.
    """
    room = Counter({1.0: devices})
    for part, workers in sorted(gpus.items(), reverse=True):
        if part >= 1.0:
            room[1.0] -= int(part) * workers
            if room[1.0] < 0:
                return False
            continue
        left = workers
        for free in sorted(free for free, there in room.items() if there and free + 1e-9 >= part):
            each = int((free + 1e-9) // part)  # workers on one such device
            full, more = divmod(min(left, room[free] * each), each)
            left -= full * each + more
            room[free] -= full + bool(more)
            room[round(free - each * part, 9)] += full
            room[round(free - more * part, 9)] += bool(more)
        if left:
            return False
    return True


def _grow(sizes: list[int], g: int, most: int, groups: Sequence[Group], have: dict[str, float]) -> None:
    """As many workers of group `g`, which takes no GPU, as `most`, CPUs and memory allow."""
    for name in ("CPU", "memory"):
        need = demand(groups[g].resources)[name]
        if need:
            left = have.get(name, 0.0) - _taken(groups, sizes, name)
            most = min(most, sizes[g] + int((left + 1e-9 * need) // need))
    sizes[g] = max(sizes[g], most)


def _fits(groups: Sequence[Group], sizes: Sequence[int], have: dict[str, float]) -> bool:
    if any(_taken(groups, sizes, name) > have.get(name, 0.0) + 1e-9 for name in ("CPU", "memory")):
        return False
    gpus: Counter[float] = Counter()
    for group, size in zip(groups, sizes, strict=True):
        if group.resources.gpus:
            gpus[group.resources.gpus] += size
    return devices_hold(gpus, int(have.get("GPU", 0.0)))


def _taken(groups: Sequence[Group], sizes: Sequence[int], name: str) -> float:
    return sum(demand(group.resources)[name] * size for group, size in zip(groups, sizes, strict=True))


def _too_small(planned: PlannedStep, have: dict[str, float]) -> str:
    need = {name: sum(demand(group.resources)[name] for group in planned.groups) for name in ("CPU", "GPU", "memory")}
    short = [name for name, amount in need.items() if amount > have.get(name, 0.0)]
    names = {"CPU": "CPUs", "GPU": "GPUs", "memory": "bytes of memory"}
    who = f"step {planned.name} needs one worker of each of its {len(planned.groups)} kinds at once"
    if not short:
        parts = ", ".join(f"{group.resources.gpus:g}" for group in planned.groups if group.resources.gpus)
        return f"{who}; parts of {parts} GPUs do not fit on {have.get('GPU', 0.0):g}"
    wanted = ", ".join(f"{need[name]:g} {names[name]}" for name in short)
    return f"{who}, {wanted}; the cluster has {', '.join(f'{have.get(name, 0.0):g}' for name in short)}"
