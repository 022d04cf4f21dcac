"""Dashboard and alerts against the list of metrics: every name and label is described, every query whole.

`promtool` (Debian: prometheus) checks the language and runs tests/infra/alerts.yaml where it is installed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.render import INFRA

RULES = INFRA / "prometheus" / "rules.yaml"
ALERTS = Path(__file__).parent / "alerts.yaml"
RAYS_LABELS = {"SessionName", "NodeAddress", "WorkerId", "Component", "Version"}
DASHBOARD: dict[str, Any] = json.loads((INFRA / "grafana" / "headrace.json").read_text())
VARIABLES = {"$__rate_interval": "5m", "$recipe": ".*"}
PAIRS = {")": "(", "]": "[", "}": "{"}


def known() -> dict[str, set[str]]:
    """Every metric of metrics.md and its labels."""
    text = (INFRA / "metrics.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| (?:counter|gauge) \| ([\w, ]+) \|", text, re.MULTILINE)
    ours = {name: set(labels.split(", ")) | RAYS_LABELS for name, labels in table}
    rays = re.findall(r"`(ray_\w+)`", text.partition("Of Ray's own:")[2])
    return ours | dict.fromkeys(rays, RAYS_LABELS)


def queries() -> Iterator[tuple[str, str]]:
    """Every query with its name."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']} {target['refId']}", target["expr"]
    for rule in alerts():
        yield f"alert {rule['alert']}", rule["expr"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]  # type: ignore[no-any-return]


def faults(query: str) -> list[str]:
    """What is wrong with a query, as far as names and brackets tell."""
    metrics, found = known(), []
    bare = re.sub(r'"[^"]*"', '""', query)
    open_: list[str] = []
    for character in bare:
        if character in PAIRS.values():
            open_.append(character)
        elif character in PAIRS and (not open_ or open_.pop() != PAIRS[character]):
            found.append(f"{character} closes nothing")
    found += [f"{character} is not closed" for character in open_]
    used = re.findall(r"\b(ray_\w+)", bare)
    found += [f"no metric {name}" for name in used if name not in metrics]
    labels = set().union(*(metrics.get(name, set()) for name in used))
    for name, chosen in re.findall(r"\b(ray_\w+)\{([^}]*)\}", bare):
        wrong = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) - metrics.get(name, labels)
        found += [f"{name} has no label {label}" for label in sorted(wrong)]
    for chosen in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([\w, ]*)\)", bare):
        found += [f"no metric here has a label {label}" for label in chosen.split(", ") if label not in labels]
    for name in re.findall(r"\b(?:rate|increase)\((ray_\w+)", bare):
        found += [] if name.endswith("_total") else [f"{name} is no counter"]
    return found


@pytest.mark.parametrize(("name", "query"), list(queries()), ids=[name for name, _ in queries()])
def test_query_is_of_metrics_that_are_described(name: str, query: str) -> None:
    assert faults(query) == []
    assert set(re.findall(r"\$\w+", query)) <= VARIABLES.keys()


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("sum(ray_headrace_rows_total", "( is not closed"),
        ("sum(ray_headrace_rows_total))", ") closes nothing"),
        ("ray_headrace_row_total", "no metric ray_headrace_row_total"),
        ('ray_headrace_rows_total{stage="a"}', "ray_headrace_rows_total has no label stage"),
        ("sum by (pool) (ray_headrace_rows_total)", "no metric here has a label pool"),
        ("rate(ray_headrace_shards[5m])", "ray_headrace_shards is no counter"),
    ],
)
def test_a_wrong_query_is_found(query: str, fault: str) -> None:
    assert faults(query) == [fault]


def test_every_metric_is_looked_at() -> None:
    text = " ".join(query for _, query in queries())
    assert [name for name in known() if name not in text] == []


def test_the_dashboard_is_one() -> None:
    panels = DASHBOARD["panels"]
    assert {"uid", "title", "schemaVersion", "templating", "time", "panels"} <= DASHBOARD.keys()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "recipe"}


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            kept = set(", ".join(re.findall(r"\bby \(([\w, ]*)\)", target["expr"])).split(", "))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_alerts_say_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert names == [
        "HeadraceNoCommit", "HeadraceNoTask", "HeadraceDeadRows", "HeadraceLedgerMissesAfterResume",
        "HeadraceQueueFull", "HeadraceWorkerDeaths",
    ]  # fmt: skip
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
    tested = {
        check["alertname"] for test in yaml.safe_load(ALERTS.read_text())["tests"] for check in test["alert_rule_test"]
    }
    assert tested == set(names)


def test_prometheus_looks_where_kuberay_says() -> None:
    (job,) = yaml.safe_load((INFRA / "prometheus" / "scrape.yaml").read_text())["scrape_configs"]
    sources = [source for config in job["relabel_configs"] for source in config["source_labels"]]
    assert "__meta_kubernetes_pod_label_ray_io_cluster" in sources  # ray.io/cluster on every pod
    assert "__meta_kubernetes_pod_container_port_name" in sources


def test_promtool_agrees(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here")
    shutil.copy(RULES, tmp_path / "rules.yaml")
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    recorded = []
    for number, (_, query) in enumerate(queries()):
        plain = re.sub(r"\$\w+", lambda variable: VARIABLES[variable[0]], query)
        recorded.append({"record": f"query:{number}", "expr": plain})
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    for command in (["check", "rules", "rules.yaml", "all.yaml"], ["test", "rules", "alerts.yaml"]):
        done = subprocess.run([promtool, *command], check=False, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
