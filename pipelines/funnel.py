"""The totals of a run as text: from records to kept rows, with what left on the way and why."""

from typing import Any

from cluster.signals.progress import duration
from pipelines.asked import lines_of

BAR = 24


def funnel(result: dict[str, Any], output: str) -> str:
    """The object of run.json as a table. Percentages are of the rows that came into the first step."""
    lines = []
    first = max(result["steps"][0]["rows_in"], 1) if result["steps"] else 1
    for step in result["steps"]:
        lines.append(f"{step['name']}: {step['shards']} shards, {_rows(step['rows_in'], first)} in")
        if step["emitted"]:
            what = "+ made" if step["emitted"] > 0 else "- joined to others"
            lines.append(_line(what, abs(step["emitted"]), first))
        for reason, rows in step["dropped"].items():
            lines.append(_line(f"- {reason}", rows, first))
        if step["dead"]:
            lines.append(_line("- dead", step["dead"], first))
        lines.append(_line("= kept", step["out"], first))
        if step["unreadable"]:
            lines.append(f"  {step['unreadable']:,} pieces of input were unreadable (see manifests/)")
        lines += lines_of(step)
        lines.append("")
    final = result["final"]
    lines.append(
        f"{result['status']} in {duration(result['seconds'])}, {result['cpu_seconds']:,.1f} CPU seconds: "
        f"{output.rstrip('/')}/{final}/data"
    )
    return "\n".join(lines)


def _line(what: str, rows: int, of: int) -> str:
    share = rows / of
    bar = "█" * round(BAR * min(share, 1.0)) or "▏"
    return f"  {what:<44} {rows:>10,} {share:>7.1%}  {bar}"


def _rows(rows: int, of: int) -> str:
    return f"{rows:,} rows" if rows == of else f"{rows:,} rows ({rows / of:.1%})"
