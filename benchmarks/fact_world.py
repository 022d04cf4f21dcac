"""A made-up world: articles of a few sentences, the facts in them, and questions that they answer.

Each article is on a work, its builder, the builder's teacher and guild, and the towns they belong to: eight facts, one
a sentence. People, works and guilds are one article's own; towns and years are shared, as real ones are.

    article = make_world(documents=48, seed=1)[0]
    article.text                              "Mirel Tasko was born in Orvel. ..."
    questions(article.facts)                  Question("When was the work of Mirel Tasko finished?", "1642", "relation")
    read("The builder of Nolda Bridge was born in Orvel.")     what is stated, names or descriptions on both sides
    supported(statement, article.facts)       whether the article says so

A statement's sides are names, descriptions (`the builder of Nolda Bridge`) or names with one (`Mirel Tasko, the builder
of Nolda Bridge,`). One with a description needs two facts. `read` is the inverse of every template here, so whatever is
written from an article can be held against its facts.
"""

import math
import random
import re
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """`subject` stands in `relation` to `object`."""

    subject: str
    relation: str
    object: str


class Side(NamedTuple):
    """What a statement or question calls an entity: by `name`, by its relation to another (`of`), or both."""

    name: str | None
    relation: str | None = None
    is_subject: bool = True  # of that relation
    of: str | None = None


class Statement(NamedTuple):
    """A fact as it is said."""

    subject: Side
    relation: str
    object: Side


class Question(NamedTuple):
    """`kind`: `forward` asks for the object, `reverse` for the subject of one fact; `relation` needs two facts."""

    text: str
    answer: str
    kind: str


@dataclass(frozen=True)
class Relation:
    """How a relation is said: subject first, object first, as a description of either side, as questions."""

    forward: tuple[str, ...]
    reverse: tuple[str, ...]
    ask_object: str
    ask_subject: str | None = None
    subject_is: str | None = None
    object_is: str | None = None


RELATIONS = {
    "born": Relation(
        ("{s} was born in {o}", "{s} came into the world in {o}", "{s} was a native of {o}", "{s} grew up in {o}"),
        ("{o} was the birthplace of {s}", "{o} was where {s} was born", "{o} was the childhood home of {s}"),
        "Where was {s} born?",
    ),
    "built": Relation(
        ("{s} built {o}", "{s} designed and raised {o}", "{s} was the maker of {o}", "{s} drew the plans of {o}"),
        ("{o} was built by {s}", "{o} was a creation of {s}", "{o} was raised by {s}"),
        "What did {s} build?",
        "Who built {o}?",
        "the builder of {o}",
        "the work of {s}",
    ),
    "stands": Relation(
        ("{s} stands in {o}", "{s} can be seen in {o}", "{s} rises over the roofs of {o}", "{s} is a sight of {o}"),
        ("{o} is home to {s}", "{o} has {s} within its walls", "{o} is where {s} stands"),
        "Where does {s} stand?",
    ),
    "finished": Relation(
        ("{s} was finished in {o}", "{s} was completed in {o}", "{s} was ready by {o}", "{s} was done in {o}"),
        ("{o} saw the end of work on {s}", "{o} was the year that completed {s}"),
        "When was {s} finished?",
    ),
    "taught": Relation(
        ("{s} taught {o}", "{s} was the master of {o}", "{s} trained {o}", "{s} passed the craft on to {o}"),
        ("{o} learned from {s}", "{o} was taught by {s}", "{o} was trained by {s}"),
        "Whom did {s} teach?",
        "Who taught {o}?",
        "the teacher of {o}",
        "the pupil of {s}",
    ),
    "joined": Relation(
        ("{s} joined {o}", "{s} was sworn into {o}", "{s} entered {o}", "{s} wore the badge of {o}"),
        ("{o} took in {s}", "{o} counted {s} among its own", "{o} was joined by {s}"),
        "Which guild did {s} join?",
        "Who joined {o}?",
        "the sworn member of {o}",
        "the guild of {s}",
    ),
    "met": Relation(
        ("{s} met in {o}", "{s} held its meetings in {o}", "{s} had its hall in {o}", "{s} gathered in {o}"),
        ("{o} was where {s} met", "{o} was the seat of {s}", "{o} lent its market hall to {s}"),
        "Where did {s} meet?",
    ),
}
KINDS = ("forward", "reverse", "relation")
ONSETS, VOWELS, CODAS = "bdfgklmnprstvz", "aeiou", ("", "l", "n", "r", "s")
TOWNS = 40  # at least so many names of other kinds, too
WORKS = ("Bridge", "Tower", "Mill", "Gate")
NAME = r"(?:[A-Z][a-z]+(?: [A-Z][a-z]+)?|\d{4})"


@dataclass(frozen=True)
class Document:
    """An article. `facts` are in the order of its sentences; `wordings` say by which template each is told."""

    id: str
    title: str
    facts: tuple[Fact, ...]
    wordings: tuple[int, ...]

    @property
    def text(self) -> str:
        return self.told(self.wordings)

    def told(self, wordings: tuple[int, ...]) -> str:
        """The sentences in their order, each by the template so numbered."""
        pairs = zip(self.facts, wordings, strict=True)
        return " ".join(sentence(RELATIONS[f.relation].forward[n], f.subject, f.object) for f, n in pairs)

    def paraphrase(self, draw: random.Random) -> str:
        """The same sentences in the same order with other words, each side where it was."""
        return self.told(tuple(draw.randrange(len(RELATIONS[f.relation].forward)) for f in self.facts))


def make_world(documents: int, seed: int) -> tuple[Document, ...]:
    """`documents` articles."""
    draw = random.Random(seed)
    n_names, n_heads = max(TOWNS, math.isqrt(8 * documents)), max(TOWNS, -(-documents // 2))
    words = iter(made_words(draw, TOWNS + 2 * n_names + n_heads + documents))
    places, firsts, lasts, heads = ([next(words) for _ in range(n)] for n in (TOWNS, n_names, n_names, n_heads))
    people = draw.sample([f"{first} {last}" for first, last in product(firsts, lasts)], 2 * documents)
    works = draw.sample([f"{head} {kind}" for head, kind in product(heads, WORKS)], documents)
    guilds = [f"{next(words)} Guild" for _ in range(documents)]
    made = []
    for number in range(documents):
        builder, teacher = people[2 * number : 2 * number + 2]
        work, guild, (home, site, school, seat) = works[number], guilds[number], draw.sample(places, 4)
        facts = [
            Fact(builder, "born", home),
            Fact(builder, "built", work),
            Fact(work, "stands", site),
            Fact(work, "finished", str(draw.randrange(1500, 1600))),
            Fact(teacher, "taught", builder),
            Fact(teacher, "born", school),
            Fact(builder, "joined", guild),
            Fact(guild, "met", seat),
        ]
        draw.shuffle(facts)
        wordings = tuple(draw.randrange(len(RELATIONS[f.relation].forward)) for f in facts)
        made.append(Document(f"article-{number:04d}", f"On {work}", tuple(facts), wordings))
    return tuple(made)


def made_words(draw: random.Random, n: int) -> list[str]:
    """`n` names of two syllables, each once."""
    syllables = ["".join(parts) for parts in product(ONSETS, VOWELS, CODAS)]
    found: dict[str, None] = {}
    while len(found) < n:
        found[(draw.choice(syllables) + draw.choice(syllables)).capitalize()] = None
    return list(found)


def sentence(template: str, subject: str, object_: str) -> str:
    """`template` said of the two, with a capital and a full stop."""
    said = template.format(s=subject, o=object_)
    return f"{said[0].upper()}{said[1:]}."


def describe(fact: Fact, name: str) -> str | None:
    """What `fact` makes of `name`: `the builder of Nolda Bridge`; None where it has no such word."""
    relation = RELATIONS[fact.relation]
    form = relation.subject_is if name == fact.subject else relation.object_is
    return form.format(s=fact.subject, o=fact.object) if form else None


def questions(facts: tuple[Fact, ...]) -> list[Question]:
    """All that can be asked of one fact, and of two by a description in place of a name."""
    found = []
    for fact in facts:
        relation = RELATIONS[fact.relation]
        asked = [(relation.ask_object, fact.subject, fact.object, "forward")]
        if relation.ask_subject:
            asked.append((relation.ask_subject, fact.object, fact.subject, "reverse"))
        for form, given, answer, kind in asked:
            found.append(Question(form.format(s=given, o=given), answer, kind))
            for other in facts:
                if other != fact and given in (other.subject, other.object) and (said := describe(other, given)):
                    found.append(Question(form.format(s=said, o=said), answer, "relation"))
    return found


def read(text: str) -> list[Statement]:
    """What the sentences of `text` state, by every template that fits; sentences without one state nothing."""
    return [s for line in text.split("\n") for part in re.split(r"\.(?: |$)", line) for s in _statements(part)]


def _statements(part: str) -> list[Statement]:
    found = []
    for relation, pattern in patterns():
        if match := pattern.fullmatch(part):
            found.append(Statement(_side(match["s"]), relation, _side(match["o"])))
    return found


@cache
def patterns() -> tuple[tuple[str, "re.Pattern[str]"], ...]:
    """(relation, template as a pattern with groups s and o)."""
    described = "|".join(form for _, _, form in _descriptions())
    side = rf"(?:{NAME}(?:, (?:{described}),)?|(?:{described}))"
    found = []
    for name, relation in RELATIONS.items():
        for template in (*relation.forward, *relation.reverse):
            found.append((name, re.compile(template.format(s=f"(?P<s>{side})", o=f"(?P<o>{side})"))))
    return tuple(found)


def _descriptions() -> list[tuple[str, bool, str]]:
    """(relation, whether it describes the subject, pattern)."""
    return [
        (name, is_subject, form.replace("the ", "[Tt]he ", 1).format(s=NAME, o=NAME))
        for name, relation in RELATIONS.items()
        for is_subject, form in ((True, relation.subject_is), (False, relation.object_is))
        if form
    ]


def _side(said: str) -> Side:
    name, _, rest = said.partition(", ")
    description = rest.rstrip(",") or name
    for relation, is_subject, form in _descriptions():
        if re.fullmatch(form, description):
            of = re.findall(NAME, description.partition(" of ")[2])[0]
            return Side(name if rest else None, relation, is_subject, of)
    return Side(said)


def supported(statement: Statement, facts: tuple[Fact, ...]) -> bool:
    """Whether `facts` say so: the names that the sides can mean, and the relation between them."""
    subjects, objects = (_meant(side, facts) for side in (statement.subject, statement.object))
    return any(Fact(s, statement.relation, o) in facts for s in subjects for o in objects)


def _meant(side: Side, facts: tuple[Fact, ...]) -> set[str | None]:
    if side.relation is None:
        return {side.name}
    pairs: Any = [(f.subject, f.object) if side.is_subject else (f.object, f.subject) for f in facts
                  if f.relation == side.relation]  # fmt: skip
    return {name for name, of in pairs if of == side.of and side.name in (None, name)}
