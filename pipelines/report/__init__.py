"""`headrace report`: what a run did, as one HTML page that asks the network for nothing.

account   exact counts from manifests: the funnel, costs, unreadable pieces
sample    what is read of the rows: small columns within a budget, texts of a few rows
figures   languages, lengths, sites, edits, deaths, counted in the sample
duplicates     clusters, sites, scores and pairs of a step that drops duplicates; a section of its own
difference     two texts side by side
refinement     what models decided, took and cost, and texts before and after them; a section of its own
synthesis      what was made from documents: fan-out, faithfulness, diversity, budget; a section of its own
entity_graph   the entities that synthetic rows relate, as Parquet and as a drawing
contamination   test items of benchmarks that a step found, counted over all rows; a section of its own
charts    numbers and shapes as text and inline SVG
page.html, page.css   the page; every value from the data is escaped by the template engine, and no script may run in it
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cluster.storage import Folder
from pipelines.report import charts
from pipelines.report.account import Account, read_account
from pipelines.report.contamination import Contamination, write_contamination
from pipelines.report.duplicates import Duplicates, read_duplicates
from pipelines.report.figures import Figures, draw
from pipelines.report.refinement import Refinement, read_refinement
from pipelines.report.sample import read_sample
from pipelines.report.synthesis import Synthesis, read_synthesis
from schemas.visible import visible

NAME = "report.html"


def write_report(output: str) -> str:
    """Write OUTPUT/report.html and return its URL. `ConfigError` when no run is there."""
    folder = Folder(output)
    account = read_account(folder)
    contamination = write_contamination(folder, account)
    duplicates = read_duplicates(folder, account)
    refinement = read_refinement(folder, account)
    synthesis = read_synthesis(folder, account, refinement)
    figures = draw(read_sample(folder, account))
    folder.put(NAME, page(account, figures, contamination, duplicates, refinement, synthesis).encode())
    return f"{output.rstrip('/')}/{NAME}"


def page(
    account: Account,
    figures: Figures,
    contamination: Contamination | None = None,
    duplicates: tuple[Duplicates, ...] = (),
    refinement: tuple[Refinement, ...] = (),
    synthesis: tuple[Synthesis, ...] = (),
) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= charts.FILTERS
    environment.globals |= charts.SHAPES
    template = environment.get_template("page.html")
    return template.render(
        run=account,
        figures=figures,
        contamination=contamination,
        duplicates=duplicates,
        refinement=refinement,
        synthesis=synthesis,
    )


def _shown(value: object) -> object:
    """A value as the page shows it: markup is our own, and text cannot turn what stands beside it around."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
