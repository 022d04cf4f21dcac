"""`headrace report`: what a run did, as one HTML page that asks the network for nothing.

account   exact counts from manifests: the funnel, costs, unreadable pieces
sample    what is read of the rows: small columns within a budget, texts of a few rows
figures   languages, lengths, sites, duplicates, edits, deaths, counted in the sample
contamination   test items of benchmarks that a step found, counted over all rows; a section of its own
charts    numbers and shapes as text and inline SVG
page.html, page.css   the page; every value from the data is escaped by the template engine
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cluster.storage import Folder
from pipelines.report import charts
from pipelines.report.account import Account, read_account
from pipelines.report.contamination import Contamination, write_contamination
from pipelines.report.figures import Figures, draw
from pipelines.report.sample import read_sample

NAME = "report.html"


def write_report(output: str) -> str:
    """Write OUTPUT/report.html and return its URL. `ConfigError` when no run is there."""
    folder = Folder(output)
    account = read_account(folder)
    contamination = write_contamination(folder, account)
    folder.put(NAME, page(account, draw(read_sample(folder, account)), contamination).encode())
    return f"{output.rstrip('/')}/{NAME}"


def page(account: Account, figures: Figures, contamination: Contamination | None = None) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= charts.FILTERS
    environment.globals |= charts.SHAPES
    return environment.get_template("page.html").render(run=account, figures=figures, contamination=contamination)
