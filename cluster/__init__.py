"""How it runs: the only folder that knows Ray.

recipe    a step, a recipe, and how both are built from plain data
plan      recipe + inputs -> checked plan; pure, prints itself
run       the steps of a recipe in order: totals, failure
local     the reference runner: a for-loop in this process
stream    the Ray driver: queues, back-pressure, death
  driver/     its pools and their sizes, balance, steps of several kinds of workers, whether the cluster is alive
worker    the actors that it calls
work      one shard from its file to its commit
careful   what is known of a shard whose worker died, and a table in parts; trial finds rows in processes apart
chain     opened stages over a table: verdicts, dead rows, the account
limits    what one document may take of a worker
shards    input files -> shards, the unit of work, commit and resume
commit    a shard's files and its manifest
account   what a driver knows of the manifests of a step
resume    what an output holds already, and whether a run may go on with it; layout says which versions are read
barrier   what must be known of all rows before the first one of a step flows: what a stage's author writes
  exchange/   how it is carried out: rows to partitions by key, spills, connected components, phases that resume
  seen/       what the workers of a step have seen, in one index
storage   any fsspec folder: list, read, write so that a file is visible only when whole
  objects/    conditional writes, uploads, listings, packs of manifests, patience with a store
lease     one run at a time on an output
flocked   a lock of the kernel on a file that its holder may delete
ledger    answers that were paid for, on the object store: who asks later, wherever, has them without paying again
  answers/    its objects, the index of their keys, the journal of what is in hand
asked     what models were asked, added up
signals/      what a run tells: events, metrics, log, progress, traces
jobs      the same run, submitted as a Ray job
ray_data  the same stages inside Ray Data
errors    what can go wrong, and with which exit status
"""

VERSION = "0.1.0"
