"""What the data is, between any two stages. Imports nothing but pyarrow.

columns   every column once: name, type, unit, meaning
document  the tables that flow: records, documents, removed and dead rows
signature, pair   what dedup hands from one phase to the next
manifest  what a finished shard leaves behind: the commit
tables    what more than one room asks of a table
check     one error that names every fault of a table against a schema
"""
