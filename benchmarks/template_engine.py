"""An engine that writes by templates: it answers EntiGraph's prompts about articles of benchmarks/fact_world.py.

It knows nothing but the prompt: facts are read out of the article's sentences, so it cannot say what the article does
not. As a stage's engine, `Asker(spec, TemplateEngine(), "template")`; as a server's answers, `Script(answer=answer)`
(tests/stages/models/misbehaving.py). Wordings are drawn from the request's seed and the prompt.

A section on an entity tells each fact that has it, the entity first. The section on interaction tells, of each two of
the entities, the facts that join them both ways round, and what two facts with an entity between them come to (`The
builder of Nolda Bridge was born in Orvel`); if that entity is asked for too, it is named.
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NoReturn

import pyarrow as pa
import xxhash
from fact_world import RELATIONS, Document, Fact, describe, read, sentence

from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Prompt, Request, Usage
from stages.models.spec import parse
from stages.stage import StageError
from stages.synthesize.entigraph import EntiGraph
from stages.synthesize.extract_entities import ExtractEntities

DOCUMENT, ENTITIES = "### Document Content:\n", "\n\n### Entities:\n"
SUMMARY_SENTENCES = 3
ENGINE = "openai:http://127.0.0.1/v1#template"  # a name: the engine is TemplateEngine, in this process


class TemplateEngine:
    """The verb `generate` of stages/models/engine.py. Tokens are words."""

    labels: tuple[str, ...] = ()
    context: int | None = None

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        for number, request in enumerate(requests):
            if request.prompt.chat is None:
                yield number, Failure("the template engine answers chats")
                continue
            prompt = request.prompt.chat[-1][1]
            text = answer(prompt, request.sampling.seed or 0)
            said = sum(len(content.split()) for _, content in request.prompt.chat)
            yield number, Answer(text, "stop", Usage(said, len(text.split())))

    def score(self, prompts: Sequence[Prompt]) -> NoReturn:
        raise StageError(f"the template engine has no verb score ({len(prompts)} prompts)")

    embed = classify = score

    def tokenize(self, texts: Sequence[str], special: bool = False) -> NoReturn:
        raise StageError(f"the template engine has no tokenizer ({len(texts)} texts, special={special})")

    def close(self) -> None:
        """Nothing is held."""


def answer(prompt: str, seed: int = 0) -> str:
    """What the engine says to EntiGraph's user message: JSON, or sections on the entities that are named."""
    head, _, listed = prompt.partition(ENTITIES)
    content = head.removeprefix(DOCUMENT)
    title, text = title_and_text(content)
    facts = facts_of(text)
    if not listed:
        kept = ". ".join(text.split(". ")[:SUMMARY_SENTENCES]).rstrip(".") + "."
        return json.dumps({"summary": kept, "entities": entities(facts)})
    draw = random.Random(xxhash.xxh3_64_intdigest(f"{seed}\x1f{prompt}".encode()))
    names = [line.removeprefix("- ") for line in listed.strip().split("\n")]
    sections = [(f"### Discussion of {title} in relation to {name}", about(name, facts, draw)) for name in names]
    joined = f"{', '.join(names[:-1])} and {names[-1]}"
    sections.append(
        (f"### Discussion of Interaction between {joined} in context of {title}", between(names, facts, draw))
    )
    return "\n".join(f"{heading}\n{' '.join(said)}" for heading, said in sections)


def title_and_text(content: str) -> tuple[str, str]:
    """Of the form that stages/synthesize/content.py gives a document."""
    if not content.startswith('"'):
        return "the article", content
    head, _, text = content.partition(".\n ")
    return head.strip('"'), text


def facts_of(text: str) -> tuple[Fact, ...]:
    """The facts of an article, whose sentences have names on both sides."""
    found = [Fact(s.subject.name, s.relation, s.object.name) for s in read(text) if s.subject.name and s.object.name]
    return tuple(dict.fromkeys(found))


def entities(facts: tuple[Fact, ...]) -> list[str]:
    """Names in the order of the article; a year is no entity."""
    names = dict.fromkeys(name for fact in facts for name in (fact.subject, fact.object))
    return [name for name in names if not name.isdigit()]


def about(name: str, facts: tuple[Fact, ...], draw: random.Random) -> list[str]:
    """Each fact on `name`, in any order, `name` first."""
    mine = [fact for fact in facts if name in (fact.subject, fact.object)]
    return [told(fact, name, draw) for fact in draw.sample(mine, len(mine))]


def told(fact: Fact, first: str, draw: random.Random, **called: str) -> str:
    """`fact` in a sentence that begins with the side `first`; `called`: what to call subject or object instead."""
    relation = RELATIONS[fact.relation]
    template = draw.choice(relation.forward if first == fact.subject else relation.reverse)
    return sentence(template, called.get("subject", fact.subject), called.get("object", fact.object))


def between(names: list[str], facts: tuple[Fact, ...], draw: random.Random) -> list[str]:
    """What joins each two of `names`."""
    said = []
    for one, two in combinations(names, 2):
        found = [told(f, first, draw) for f in facts if {one, two} == {f.subject, f.object} for first in (one, two)]
        found = found or composed(one, two, names, facts, draw) + composed(two, one, names, facts, draw)
        said += found or [f"Nothing but the article joins {one} and {two}."]
    return said


def composed(far: str, near: str, names: list[str], facts: tuple[Fact, ...], draw: random.Random) -> list[str]:
    """What a fact on `near` comes to, when another fact describes its other side by `far`."""
    said = []
    for fact in facts:
        if near not in (fact.subject, fact.object):
            continue
        bridge, side = (fact.object, "object") if near == fact.subject else (fact.subject, "subject")
        for other in facts:
            if other != fact and {bridge, far} == {other.subject, other.object}:
                called = describe(other, bridge)
                if called is None:
                    continue
                called = f"{bridge}, {called}," if bridge in names else called
                first = draw.choice((near, bridge))
                said.append(told(fact, first, draw, **{side: called}))
    return said


def recombined(documents: Sequence[Document], seed: int) -> list[list[str]]:
    """What the recipe's stages make of each article: its summary, then a text on each pair and triple."""
    asker = Asker(parse(ENGINE, "template_engine"), TemplateEngine(), "template")
    table = pa.table(
        {
            "id": [d.id for d in documents],
            "title": [d.title for d in documents],
            "text": pa.array([d.text for d in documents], pa.large_string()),
        }
    )
    with_entities = ExtractEntities(engine=ENGINE, seed=seed).extract(table, asker)
    made = EntiGraph(engine=ENGINE, seed=seed).write(with_entities, asker)
    lost = [r for r in made.column("drop_reason").to_pylist() + made.column("error").to_pylist() if r]
    assert not lost, lost
    texts: dict[str, list[str]] = {d.id: [] for d in documents}
    for (parent,), text in zip(made.column("parents").to_pylist(), made.column("text").to_pylist(), strict=True):
        texts[parent].append(text)
    return list(texts.values())
