"""What the workers of a step have seen, in one index that they share."""
