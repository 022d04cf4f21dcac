"""Between two passes over a dataset, below `cluster.barrier`: rows or keys to other shards, bounded in memory."""
