"""How it runs: the only folder that knows Ray.

recipe    a step, a recipe, and how both are built from plain data
plan      recipe + inputs -> checked plan; pure, prints itself
storage   any fsspec folder: list, read, write so that a file is visible only when whole
shards    input files -> shards, the unit of work, commit and resume
chain     opened stages over a table: verdicts, dead rows, the account
ledger    answers that were paid for, on the object store: asked once, whoever asks (ledger_store, ledger_index)
commit    a shard's files and its manifest; packs are copies of many, account is what a driver knows of them
work      one shard from its file to its commit
barrier   what must be known of all rows before the first one of a step flows: what a stage's author writes
shuffle   rows to partitions by key, and the verdicts back to their shards
components  connected components of a graph that no process holds whole
phases    a barrier carried out, resumed and cleaned up
spill     tables cut into partitions by hash
run       the steps of a recipe in order: totals, failure
resume    what an output holds already, and whether a run may go on with it; layout says which versions are read
lease     one run at a time on an output; conditional is the file that tells two of them apart
local     the reference runner: a for-loop in this process
stream    the Ray driver: pools, bounded queues, back-pressure
worker    the actors that stream calls
pipeline  a step over several kinds of workers; sizes says how many of each, balance moves them to the bottleneck
progress  what a person, a log or a script sees meanwhile
events    what a driver hears of a run; watch tells of its beginnings and ends
telemetry every metric, and what is counted in it; asked adds up what models were asked
otel      the same run as spans and metrics for an OpenTelemetry collector
log       the lines of a run's stderr, as text or as JSON
jobs      the same run, submitted as a Ray job
errors    what can go wrong, and with which exit status
"""

VERSION = "0.1.0"
