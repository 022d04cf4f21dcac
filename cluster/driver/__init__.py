"""Below `cluster.stream`, the driver on Ray: pools of workers, their sizes and balance, steps of several kinds."""
