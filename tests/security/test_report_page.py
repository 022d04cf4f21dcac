"""The report and the terminal show what is in the data, and are not steered by it.

A page with a script in it stays text: tested by a parser of HTML always, and in a browser where there is one.
"""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cluster.storage import Folder
from pipelines.cli import main
from pipelines.explain import as_text as explained
from pipelines.report import write_report
from schemas.manifest import Counts, StageCost
from schemas.visible import one_line, visible
from tests.pipelines import test_report
from tests.pipelines.test_report import put_step, row

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
RAN = "document.documentElement.setAttribute('data-ran','yes')"
ATTACKS = [
    f"<script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"'><svg onload={RAN}>",
    f"</style></title></textarea></template><script>{RAN}</script>",
    f"{{{{ ''.__class__ }}}}{{% raw %}}<script>{RAN}</script>",
    f"]]>--><script>{RAN}</script><!--",
    f"javascript:{RAN}",
    f'" onmouseover="{RAN}" autofocus onfocus="{RAN}" x="',
    f'<iframe srcdoc="<script>parent.{RAN}</script>">',
    f"<base href=//evil.example/><meta http-equiv=refresh content='0;url=javascript:{RAN}'><form action=//e.vil>",
    "\x1b]0;title\x07\x1b[2J \x9b31m \x00 a\rb \u202egpj.exe\u2066 \ud800",
]
ALL = " ".join(ATTACKS)
TEXT = ALL.replace("\ud800", "")  # no text of Arrow's has it; JSON can spell it


def put_hostile(output: str) -> None:
    """A run whose every name, reason, address, text, error and setting is an attack."""
    edits = [{"stage": TEXT, "rule": TEXT, "n_chars_before": 9, "n_chars_after": 8}]
    whole = {"text": TEXT, "url": f"https://{TEXT}/", "lang": TEXT, "n_chars": 9, "n_words": 9, "edits": edits}
    kept = [row(n, **whole) for n in range(2)]
    removed = [{"drop_stage": TEXT, "drop_reason": TEXT, **row(7, text=TEXT, lang=TEXT, url=TEXT)}]
    dead = [{"stage": TEXT, "error": f"{TEXT}: x", "traceback": TEXT, "attempt": 1, **row(8, url=TEXT)}]
    counts = Counts(rows_in=4, out=2, dropped={f"ReadWarc.{TEXT}": 1}, dead=1, unreadable=1)
    put_step(output, "filter", counts, kept, removed, dead, {TEXT: StageCost(4, 2, 1.0, 1.0)}, ((7, TEXT),))
    copy = {"drop_stage": "DropDuplicates", "drop_reason": TEXT, **row(1, duplicate_of="id0", text=TEXT, url=TEXT)}
    first = {**kept[0], "cluster_size": 2}
    counts = Counts(rows_in=2, out=1, dropped={"DropDuplicates.duplicate": 1})
    put_step(output, "dedup", counts, [first], [copy], [], {"DropDuplicates": StageCost(2, 1, 0.1, 0.1)})
    folder = Folder(output)
    about = json.loads(folder.get("filter/step.json"))
    about["stages"] = [*about["stages"], TEXT]
    about["inputs"] = [{"uri": ALL, "size": 1, "etag": ALL}]
    about["versions"] = {"headrace": ALL}
    for part in (about["identity"]["source"], *about["identity"]["stages"]):
        part["settings"] = {ALL: ALL}
    folder.put("filter/step.json", json.dumps(about).encode())
    steps = [{"name": "filter", "seconds": 3.5}, {"name": "dedup", "seconds": 0.5}]
    folder.put("run.json", json.dumps({"recipe": ALL, "status": ALL, "seconds": 4.0, "steps": steps}).encode())


@pytest.fixture
def page(tmp_path: Path) -> Path:
    put_hostile(str(tmp_path))
    write_report(str(tmp_path))
    return tmp_path / "report.html"


class Elements(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}


OURS = {
    "html", "head", "meta", "title", "style", "body", "header", "footer", "nav", "section", "article", "figure",
    "figcaption", "details", "summary", "div", "span", "p", "b", "h1", "h2", "h3", "h4", "a", "dl", "dt", "dd", "ul",
    "li", "table", "thead", "tbody", "tr", "th", "td", "mark", "strong", "svg", "rect", "path", "line", "circle",
    "text",
}  # fmt: skip


def test_every_element_of_the_page_is_ours(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = Elements()
    found.feed(text)
    assert found.names <= OURS
    assert {
        name for name, _ in found.attributes if name.startswith("on") or name in ("src", "srcdoc", "action")
    } == set()
    assert {value for name, value in found.attributes if name == "href"} <= {
        f"#{v}" for n, v in found.attributes if n == "id"
    }
    assert text.count("document.documentElement") > 50  # it is there, as text
    assert text.index("Content-Security-Policy") < text.index("<title>")


def test_the_page_forbids_scripts(page: Path) -> None:
    found = Elements()
    found.feed(page.read_text(encoding="utf-8"))
    policy = next(value for name, value in found.attributes if name == "content" and "default-src" in value)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def test_the_page_spells_out_what_would_turn_it_around(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) == []
    assert "\\u202egpj.exe\\u2066" in text
    assert "\\x1b]0;title\\x07" in text


def in_browser(file: Path, folder: Path) -> str:
    """The page's document once its scripts have run."""
    assert BROWSER is not None
    flags = [
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-extensions",
    ]
    command = [BROWSER, *(f"--{flag}" for flag in flags), f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    command += ["--virtual-time-budget=2000", file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser here")
def test_no_script_runs_in_a_browser(page: Path, tmp_path: Path) -> None:
    """The same attacks, unescaped, do run there: so the browser would tell."""
    control = tmp_path / "control.html"
    control.write_text(f"<!DOCTYPE html><title>x</title><p>{TEXT}</p>", encoding="utf-8")
    assert 'data-ran="yes"' in in_browser(control, tmp_path)
    shown = in_browser(page, tmp_path)
    assert "<html" in shown
    assert "&lt;script&gt;document.documentElement" in shown
    assert re.search(r"<html[^>]*data-ran", shown) is None
    assert re.search(r"<(?:script|img|iframe|base|form)\b", shown) is None


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None or os.environ.get("HEADRACE_FAULTS") != "1", reason="a browser: make faults")
def test_the_policy_alone_would_do(tmp_path: Path) -> None:
    """The second lock: a value that had not been escaped would be dead all the same."""
    template = (Path(test_report.__file__).parents[2] / "pipelines" / "report" / "page.html").read_text("utf-8")
    policy = next(line for line in template.splitlines() if "Content-Security-Policy" in line)
    unescaped = tmp_path / "unescaped.html"
    unescaped.write_text(
        f"<!DOCTYPE html><html><head>{policy}</head><body><p>{TEXT}</p></body></html>", encoding="utf-8"
    )
    assert "data-ran" not in re.sub(r"'data-ran'", "", re.sub(r"&[^;]*;", "", in_browser(unescaped, tmp_path)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]52;c;cm0=\x07", "\\x1b]52;c;cm0=\\x07"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\u202eexe.gpj\u2069", "\\u202eexe.gpj\\u2069"),
        ("\x00\x7f\ud800", "\\x00\\x7f\\ud800"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("שלום\u200f مرحبا 😀 e\u0301", "שלום\u200f مرحبا 😀 e\u0301"),
    ],
)
def test_what_would_steer_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_text_of_one_line_begins_no_other() -> None:
    assert one_line("a\nheadrace: done\u2028b") == "a\\nheadrace: done\\u2028b"


@pytest.mark.parametrize(
    "command", [["explain", "id0"], ["explain", "id7"], ["explain", "id8"], ["status"], ["report"]]
)
def test_commands_do_not_steer_the_terminal(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_hostile(str(tmp_path))
    name, *more = command
    assert main([name, str(tmp_path), *more]) == 0
    said = "".join(capsys.readouterr())
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said) == []
    assert name != "explain" or "\\x1b]0;title" in said


def test_an_address_cannot_forge_a_line() -> None:
    found: dict[str, Any] = {"id": "x", "url": "http://a/\nstep filter: kept", "steps": []}
    assert explained(found).splitlines() == ["x", "  url: http://a/\\nstep filter: kept"]


def test_errors_and_the_log_do_not_steer_it_either(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "no \x1b[31m\u202eoutput"]) == 2
    with pytest.raises(SystemExit):
        main(["run", "web", "--no-such=\x1b[31m"])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "no \\x1b[31m\\u202eoutput" in said
