"""The prefix that an answer was asked to begin with: Nemotron-CC rejects what lacks it (methods 3.2)."""


def without_prefix(answer: str, prefix: str) -> str | None:
    """`answer` without white space around it and without `prefix`; None where it does not begin with that."""
    answer = answer.strip()
    return answer[len(prefix) :].strip() if answer.startswith(prefix) else None
