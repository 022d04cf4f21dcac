"""Exercises and the text they are about, written down by the templates of reading_templates.yaml (methods 12)."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from stages.synthesize.lots import Lot
from stages.synthesize.mining import Mined
from stages.synthesize.word_to_text import Found
from stages.synthesize.wordings import load_wordings, wordings_hash

TEMPLATES = Path(__file__).with_name("reading_templates.yaml")
# Exercises of one type stand together, as examples of one another.
TYPES: tuple[tuple[str, ...], ...] = (
    ("entail", "contradict", "neutral"),
    ("cause_effect", "effect_cause"),
    ("similar", "different"),
    ("definition", "topic", "word_to_text"),
)
SAYS = {
    "entail": {"answer": "Yes", "connective": "Therefore", "relation": "Entailment"},
    "contradict": {"answer": "No", "connective": "However", "relation": "Contradiction"},
    "neutral": {"answer": "Maybe", "connective": "Moreover", "relation": "Neutral"},
}
NLI = {"classify": 0.8, "generate": 0.2}
# What is done with the title and the end of a text, by whether it has a title and two sentences.
WHOLE = {
    (True, True): {"summarise": 0.4, "complete": 0.1, "both": 0.4, "none": 0.1},
    (True, False): {"summarise": 0.5, "none": 0.5},
    (False, True): {"complete": 0.5, "none": 0.5},
    (False, False): {"none": 1.0},
}
QUESTION_TO_ANSWER, BETWEEN = " ", "\n\n"


def load_templates() -> dict[str, Any]:
    """The templates of the file, by kind."""
    return load_wordings(TEMPLATES)


def templates_hash() -> str:
    return wordings_hash(TEMPLATES)


def write_exercises(mined: Sequence[Mined], words: Sequence[Found], domain: str, lot: Lot) -> str:
    """A lead-in and the exercises, type by type in an order that is drawn; nothing if there are none."""
    written: dict[str, list[str]] = {}
    for n, exercise in enumerate(mined):
        written.setdefault(exercise.kind, []).append(_mined(exercise, domain, lot, str(n)))
    for n, found in enumerate(words):
        fields = {"words": ", ".join(found.words[:3]), "sentence": found.sentence, "domain": domain}
        written.setdefault("word_to_text", []).append(_filled("word_to_text", fields, lot, f"word to text {n}"))
    types = [[text for kind in kinds for text in written.get(kind, ())] for kinds in TYPES]
    together = [BETWEEN.join(texts) for texts in lot.shuffled("types", types) if texts]
    return lead_in(domain, lot) + BETWEEN.join(together) if together else ""


def lead_in(domain: str, lot: Lot) -> str:
    """What is said between a text and its exercises."""
    return str(lot.pick("lead-in", _fitting("lead_ins", domain)).format(domain=domain))


def write_whole(
    title: str, text: str, sentences: Sequence[str], exercises: str, domain: str, lot: Lot
) -> tuple[str, str]:
    """The text with its exercises, and what was done with title and end: summarise, complete, both or none."""
    kind = lot.weighted("whole", WHOLE[bool(title), len(sentences) > 1])
    half = 1 + int(lot.share("half") * (len(sentences) - 1))
    fields = {
        "title": title,
        "text": text,
        "first": "".join(sentences[:half]).strip(),
        "second": "".join(sentences[half:]).strip(),
        "exercises": exercises,
        "domain": domain,
    }
    template: str = lot.pick(kind, _fitting(kind, domain))
    if not title:
        template = template.replace("{title}\n", "")
    return kind, template.format(**fields)


def _mined(exercise: Mined, domain: str, lot: Lot, place: str) -> str:
    second = exercise.second[0].upper() + exercise.second[1:]
    first, kind = exercise.first, exercise.kind
    fields = {"connector": exercise.connector, "first": first, "second": second, "domain": domain}
    if kind in SAYS:
        fields |= {"premise": first, "hypothesis": second, **SAYS[kind]}
        how = lot.weighted(f"nli {place}", NLI)
        return _filled("classify" if how == "classify" else kind, fields, lot, f"{how} {place}")
    if kind == "cause_effect":
        fields |= {"cause": first, "effect": second}
    elif kind == "effect_cause":
        fields |= {"cause": second, "effect": first}
    elif kind in ("definition", "topic"):
        fields |= {"term": first, "meaning": exercise.second}
    return _filled(kind, fields, lot, f"{kind} {place}")


def _filled(kind: str, fields: dict[str, str], lot: Lot, what: str) -> str:
    question, answer = lot.pick(what, _fitting(kind, fields["domain"]))
    return str(question.format(**fields) + QUESTION_TO_ANSWER + answer.format(**fields))


@lru_cache(maxsize=256)
def _fitting(kind: str, domain: str) -> tuple[Any, ...]:
    """The templates of a kind; those that name the domain only where it has a name."""
    return tuple(template for template in load_templates()[kind] if domain or "{domain}" not in str(template))
