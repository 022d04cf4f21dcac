"""Opened stages over one table after another: rows that are dropped or die leave the stream here, and are counted.

A stage is called on the whole table. If it raises, it is called once more (a full disk, a reset connection); if it
raises again, the table is bisected until the rows that cannot be processed are alone. They go to `dead` with the
stage, the error and the traceback; the rest goes on as if they had not been there.
"""

import re
import threading
import time
import traceback
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import AccountError, HeadraceError
from cluster.ledger import Answers, Asking
from cluster.seen.remember import Ask, Remembering
from cluster.signals.metrics import METER
from schemas import columns as c
from schemas.manifest import Counts, StageCost
from stages.stage import Stage, StageError, Transform, WorkerBrokenError, execution_of, name_of, settings_of

LEAST_VALUE = 4  # characters of a setting's value that are no chance in a message
VERDICT = (c.DROP_REASON.name, c.DROP_STAGE.name, c.ERROR.name)


@dataclass
class Batch:
    """What became of a table: the rows still in the stream, those that left it, and the account of both."""

    kept: pa.Table
    removed: list[pa.Table] = field(default_factory=list)
    dead: list[pa.Table] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    costs: dict[str, StageCost] = field(default_factory=dict)

    def join(self, later: "Batch") -> "Batch":
        """The batch after a further group of stages."""
        return Batch(
            later.kept,
            self.removed + later.removed,
            self.dead + later.dead,
            self.counts + later.counts,
            add_costs(self.costs, later.costs),
        )


class Chain:
    """Stages opened in this process, in order. Threads may send tables through at the same time.

    A stage meets as many at once as its resources say, most of them one.
    """

    def __init__(self, stages: tuple[Stage, ...], ask: Ask | None = None, ledger: Answers | None = None) -> None:
        """`ask`: the index that others use too, for the stage that needs one (seen/remember); `ledger`: see there."""
        self.opened: list[tuple[Stage, Transform]] = []
        self._turns = [threading.Semaphore(stage.resources.tables) for stage in stages]
        for stage in stages:
            try:
                if ask is not None and isinstance(stage, Remembering):
                    self.opened.append((stage, stage.open_with(ask)))
                elif ledger is not None and isinstance(stage, Asking):
                    self.opened.append((stage, stage.open_with_ledger(ledger)))
                else:
                    self.opened.append((stage, stage.open()))
            except Exception as error:
                error.add_note(f"while opening {_named(stage, str(error))}")
                raise

    @property
    def first(self) -> str:
        """Name of the first stage: where a row is sent again that died somewhere in this chain."""
        return name_of(self.opened[0][0]) if self.opened else "source"

    def apply(self, table: pa.Table, attempt: int = 1) -> Batch:
        """Send `table` through all stages. `attempt` is recorded with rows that die."""
        batch = Batch(table)
        for (stage, transform), turn in zip(self.opened, self._turns, strict=True):
            if not batch.kept.num_rows:
                break
            before = batch.kept.num_rows
            with turn:
                wall, span = time.perf_counter(), METER.start()
                try:
                    results, failures = _run(stage, transform, batch.kept)
                finally:
                    cpu, wall = METER.stop(span), time.perf_counter() - wall
            dead = [_dead(row, name_of(stage), error, attempt) for row, error in failures]
            batch.dead += dead
            batch.counts += Counts(
                emitted=sum(r.num_rows for r in results) + len(dead) - before, dead=sum(d.num_rows for d in dead)
            )
            survived = pa.concat_tables(results) if results else batch.kept.slice(0, 0)
            self._settle(batch, survived, name_of(stage), attempt)
            cost = StageCost(before, batch.kept.num_rows, wall, cpu)
            batch.costs = add_costs(batch.costs, {name_of(stage): cost})
        return batch

    def admit(self, table: pa.Table, source: str, attempt: int = 1) -> Batch:
        """A table from the source: count its rows and take out those that the source itself rejects."""
        batch = Batch(table, counts=Counts(rows_in=table.num_rows))
        self._settle(batch, table, source, attempt)
        return batch

    def merge(self, parts: list[Batch], rows: pa.Table) -> Batch:
        """The batches of parts of one table as the batch of the whole `rows`, in the same order."""
        order = {name_of(stage): at for at, (stage, _) in enumerate(self.opened)}
        whole = Batch(rows.slice(0, 0))
        for part in parts:
            whole = whole.join(part)
        # Empty tables may lack the columns that later stages would have added.
        kept = [part.kept for part in parts if part.kept.num_rows]
        whole.kept = pa.concat_tables(kept) if kept else rows.slice(0, 0)
        whole.removed.sort(key=lambda table: order[table.column(c.DROP_STAGE.name)[0].as_py()])
        whole.dead.sort(key=lambda table: order.get(table.column(c.DEAD_STAGE.name)[0].as_py(), -1))
        return whole

    @staticmethod
    def _settle(batch: Batch, table: pa.Table, stage: str, attempt: int) -> None:
        """Move rows with an error to dead and rows with a reason to removed; keep the rest."""
        if c.ERROR.name in table.column_names:
            failed = pc.is_valid(table.column(c.ERROR.name))
            errors = table.filter(failed)
            if errors.num_rows:
                messages = errors.column(c.ERROR.name)
                batch.dead.append(_with_failure(_without_verdict(errors), stage, messages, "", attempt))
                batch.counts += Counts(dead=errors.num_rows)
                table = table.filter(pc.invert(failed))
        if c.DROP_REASON.name in table.column_names:
            dropped = pc.is_valid(table.column(c.DROP_REASON.name))
            removed = table.filter(dropped)
            if removed.num_rows:
                reasons = removed.column(c.DROP_REASON.name)
                removed = _without_verdict(removed).append_column(c.DROP_REASON, reasons)
                batch.removed.append(
                    removed.append_column(c.DROP_STAGE, pa.repeat(pa.scalar(stage, pa.string()), removed.num_rows))
                )
                counted = pc.value_counts(reasons).to_pylist()
                batch.counts += Counts(dropped={f"{stage}.{x['values']}": x["counts"] for x in counted})
                table = table.filter(pc.invert(dropped))
        batch.kept = _without_verdict(table)


def add_costs(first: dict[str, StageCost], second: dict[str, StageCost]) -> dict[str, StageCost]:
    """Costs by stage, added up, in the order in which the stages were met."""
    total = dict(first)
    for stage, cost in second.items():
        total[stage] = total[stage] + cost if stage in total else cost
    return total


def killed_row(row: pa.Table, stage: str, error: str, attempt: int) -> pa.Table:
    """A dead row whose failure took the whole worker with it, so that there is no traceback."""
    return _with_failure(_without_verdict(row), stage, pa.repeat(pa.scalar(error, c.TEXT), row.num_rows), "", attempt)


def _named(stage: Stage, message: str) -> str:
    """A stage by its name, with those of its settings that the message speaks of: it may have thirty."""
    settings = (settings_of(stage) | execution_of(stage)).items()
    spoken = [f"{name}={value!r}" for name, value in settings if value is not None and _is_in(message, name, value)]
    return f"{name_of(stage)}({', '.join(spoken)})"


def _is_in(message: str, name: str, value: object) -> bool:
    """Whether a message names a setting, has its value, or the address in it (of an engine)."""
    if re.search(rf"\b{re.escape(name)}\b", message):
        return True
    texts = [value, re.split(r"[?#]", value.partition(":")[2])[0]] if isinstance(value, str) else []
    return any(len(text) >= LEAST_VALUE and text in message for text in texts)


def _run(
    stage: Stage, transform: Transform, table: pa.Table, tries: int = 2
) -> tuple[list[pa.Table], list[tuple[pa.Table, Exception]]]:
    """`table` through one stage: (results in order, single rows that failed with their errors)."""
    for _ in range(tries):
        try:
            result = transform(table)
        except (HeadraceError, StageError, WorkerBrokenError):
            raise
        except Exception as error:
            error.add_note(f"in {stage!r} on {table.num_rows} rows, first id {table.column('id')[0].as_py()}")
            failure = error
        else:
            _check_contract(stage, table, result)
            return [result], []
    if table.num_rows == 1:
        return [], [(table, failure)]
    middle = table.num_rows // 2
    left, right = (_run(stage, transform, part, tries=1) for part in (table.slice(0, middle), table.slice(middle)))
    return left[0] + right[0], left[1] + right[1]


def _check_contract(stage: Stage, before: pa.Table, after: pa.Table) -> None:
    """A stage must add what it says and must not lose rows. Breaking this is a bug in the stage, not a bad row."""
    if not isinstance(after, pa.Table):
        raise AccountError(f"{name_of(stage)} broke its contract: it returned {type(after).__name__}, not a table")
    faults = [
        f"it lost {field_.name!r}"
        for field_ in before.schema
        if field_.name not in after.column_names and not c.is_transient(field_)
    ]
    for field_ in stage.adds:
        if field_.name not in after.column_names:
            faults.append(f"it did not add {field_.name!r}")
        elif after.schema.field(field_.name).type != field_.type:
            there = after.schema.field(field_.name).type
            faults.append(f"it added {field_.name!r} as {there}, its schema says {field_.type}")
    for field_ in before.schema:
        if field_.name in after.column_names and field_.name not in stage.adds.names:
            there = after.schema.field(field_.name).type
            if there != field_.type:
                faults.append(f"it made {field_.name!r} {there}, it was {field_.type}")
    if stage.rows == "same" and not faults and after.column("id") != before.column("id"):
        faults.append(f"it returned other rows than it was given ({before.num_rows} in, {after.num_rows} out)")
    if stage.rows == "any" and not faults:
        heirs = set(after.column("id").to_pylist())
        heirs.update(pc.list_flatten(after.column(c.PARENTS.name)).to_pylist())
        lost = [id_ for id_ in before.column("id").to_pylist() if id_ not in heirs]
        if lost:
            faults.append(f"{len(lost)} rows have no heir, first id {lost[0]}: keep the row, or name it in 'parents'")
    if faults:
        raise AccountError(f"{name_of(stage)} broke its contract: " + "; ".join(faults))


def _dead(row: pa.Table, stage: str, error: Exception, attempt: int) -> pa.Table:
    message = pa.array([f"{type(error).__name__}: {error}"], c.TEXT)
    return _with_failure(row, stage, message, "".join(traceback.format_exception(error)), attempt)


def _with_failure(rows: pa.Table, stage: str, errors: pa.Array, trace: str, attempt: int) -> pa.Table:
    n = rows.num_rows
    values = (
        (c.DEAD_STAGE, pa.repeat(pa.scalar(stage, pa.string()), n)),
        (c.DEAD_ERROR, errors),
        (c.TRACEBACK, pa.repeat(pa.scalar(trace, c.TEXT), n)),
        (c.ATTEMPT, pa.repeat(pa.scalar(attempt, pa.int32()), n)),
    )
    rows = rows.drop_columns([field_.name for field_, _ in values if field_.name in rows.column_names])
    for field_, array in values:
        rows = rows.append_column(field_, array)
    return rows


def _without_verdict(table: pa.Table) -> pa.Table:
    return table.drop_columns([name for name in VERDICT if name in table.column_names])
