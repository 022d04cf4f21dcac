"""Duplicates: which rows are one document, and which of them stays."""
