"""ProX: a small model writes a program about each document; it is carried out here (arXiv 2409.17115, methods 1)."""
