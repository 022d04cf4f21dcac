"""Below `cluster.ledger`: answers of models on storage, the index of their keys, the journal of what is in hand."""
