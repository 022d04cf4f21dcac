"""spaCy, imported without torch.

thinc, which spaCy is built on, imports torch wherever that is installed, for layers that word rules have no use for:
300 MB and seconds in every worker, 800 MB with CUDA's libraries. So it is imported while torch cannot be; whoever needs
torch in this process later imports it as ever.
"""

import sys
from typing import Any

HEAVY = ("torch", "tensorflow", "mxnet", "cupy")


def _load() -> Any:
    hidden = [name for name in HEAVY if name not in sys.modules]
    modules: dict[str, Any] = sys.modules  # None: an import of it fails as if it were not installed
    modules.update(dict.fromkeys(hidden))
    try:
        import spacy  # noqa: PLC0415 - while they are hidden
        import spacy.pipeline  # noqa: PLC0415
    finally:
        for name in hidden:
            del modules[name]
    return spacy


spacy = _load()
