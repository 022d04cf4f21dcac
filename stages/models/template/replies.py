"""What the template engine says to each of our prompts: a reply of the form that is asked for, out of the text itself.

Content is the text's own, in other words or as questions with gaps; nothing is known, so nothing is made up.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from random import Random

from stages.models.template import exercises
from stages.models.template.program import program
from stages.models.template.source import Source, source, words
from stages.models.template.wording import ended, in_short_ones, joined, languages, plain, retold, translated
from stages.prompts import PromptFile

SUMMARY, SUMMARY_CHARS = 3, 2000  # sentences; characters, if a sentence is none
MOST_ENTITIES, MOST_FACTS, MOST_QUESTIONS, MOST_TURNS = 60, 10, 6, 40
QUOTED = re.compile(r'"([^"\n]+):"')
TITLE = re.compile(r'"([^"\n]+)"(?:, [^\n]{1,40})?\.\n ')  # stages/synthesize/content.py

Values = dict[str, str]
Reply = Callable[[PromptFile, Values, Random], str]


class Unanswerable(Exception):
    """The engine has no rule for what is asked."""


def reply(prompt: PromptFile, values: Values, draw: Random) -> str:
    """What is said to `prompt`; `Unanswerable` says why nothing is."""
    name = prompt.name
    made = next((make for begin, make in REPLIES.items() if name.startswith(begin)), None)
    if made is None:
        raise Unanswerable(f"the template engine has no rule for the prompt {name}")
    said = made(prompt, values, draw)
    return f"{prompt.prefix}\n{said}" if prompt.prefix else said


def entities(prompt: PromptFile, values: Values, draw: Random) -> str:
    """JSON: the first sentences, and all names; the words a text turns on, where it has fewer than two."""
    found = source(title_and_text(values["content"])[1])
    names = list(dict.fromkeys([*found.names, *(found.keys if len(found.names) < 2 else ())]))
    return json.dumps({"summary": joined(found.sentences[:SUMMARY])[:SUMMARY_CHARS], "entities": names[:MOST_ENTITIES]})


def relation(prompt: PromptFile, values: Values, draw: Random) -> str:
    """A section on each entity, with the sentences that name it, and one on what joins them."""
    title, text = title_and_text(values["content"])
    names = [line.removeprefix("- ") for line in values["entities"].split("\n")]
    found = source(text)
    sections = [(f"### Discussion of {title} in relation to {name}", _about(found, [name], draw)) for name in names]
    between = f"{', '.join(names[:-1])} and {names[-1]}"
    heading = f"### Discussion of Interaction between {between} in context of {title}"
    sections.append((heading, _about(found, names, draw)))
    return "\n".join(f"{heading}\n{said}" for heading, said in sections)


def _about(found: Source, names: Sequence[str], draw: Random) -> str:
    """The sentences with all of `names`; those with one of them, where none has all."""
    every = [s for s in found.sentences if all(name in s for name in names)]
    said = every or [s for s in found.sentences if any(name in s for name in names)] or found.sentences[:1]
    return joined(retold(sentence, draw) for sentence in said[:MOST_QUESTIONS])


def title_and_text(content: str) -> tuple[str, str]:
    """Of a document as prompts show it."""
    match = TITLE.match(content)
    return (match[1], content[match.end() :]) if match else ("the article", content)


def prose(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Every sentence in other words, lines as they were; for some prompts with an opening, or from the end."""
    found = source(values["text"])
    if not found.english:
        return values["text"].strip()
    openings = words()["openings"].get(prompt.name, [""])
    lines = [source(line).sentences for line in values["text"].split("\n")]
    said = "\n".join(" ".join(retold(sentence, draw) for sentence in line) for line in lines).strip()
    return str(draw.choice(openings)) + said


def backwards(prompt: PromptFile, values: Values, draw: Random) -> str:
    """From the last sentence to the first."""
    return joined([retold(sentence, draw) for sentence in reversed(source(values["text"]).sentences)])


def simple(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Short sentences."""
    return joined([part for sentence in source(values["text"]).sentences for part in in_short_ones(sentence)])


def lean(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Without brackets, adverbs and what is no sentence, where there are sentences."""
    found = source(values["text"]).sentences
    whole = [sentence for sentence in found if sentence[-1:] in ".!?\u3002\uff01\uff1f"] or found
    return joined([plain(sentence) for sentence in whole])


def passages(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Three sentences each."""
    found = source(values["text"]).sentences
    parts = [joined([plain(sentence) for sentence in found[at : at + 3]]) for at in range(0, len(found), 3)]
    return "\n\n".join(f"Passage {number}:\n{part}" for number, part in enumerate(parts, 1))


def knowledge(prompt: PromptFile, values: Values, draw: Random) -> str:
    """A sentence a line."""
    return _listed(ended(plain(sentence)) for sentence in source(values["text"]).sentences)


def facts(prompt: PromptFile, values: Values, draw: Random) -> str:
    """The first sentences, or the clauses of the one."""
    return _listed(ended(part) for part in source(values["text"]).parts[:MOST_FACTS])


def plan(prompt: PromptFile, values: Values, draw: Random) -> str:
    """A question on each fact."""
    told = _entries(values["facts"])[:MOST_QUESTIONS]
    return _listed(f"what: {topic}?" for topic in source(values["text"]).topics(told))


def dialogue(prompt: PromptFile, values: Values, draw: Random) -> str:
    """The questions of the plan in turn with the facts; what is left of the facts is said at last."""
    asked = [entry.partition(": ")[2] or entry for entry in _entries(values["plan"])]
    told = _entries(values["facts"])
    told = [*told[: len(asked) - 1], joined(told[len(asked) - 1 :])]
    one, other = QUOTED.findall(prompt.user)[:2]
    return "\n".join(f"{one}: {question}\n{other}: {fact}" for question, fact in zip(asked, told, strict=False))


def conversation(prompt: PromptFile, values: Values, draw: Random) -> str:
    """One names what a sentence is about, the other says it; sentences are joined where there are many."""
    found = source(values["text"])
    size = -(-len(found.parts) // MOST_TURNS)
    told = [joined(found.parts[at : at + size]) for at in range(0, len(found.parts), max(size, 1))]
    one, other = QUOTED.findall(prompt.user)[:2]
    topics = found.topics(told)
    return "\n".join(f"{one}: {topic}?\n{other}: {said}" for topic, said in zip(topics, told, strict=True))


def subject(prompt: PromptFile, values: Values, draw: Random) -> str:
    """The subject with most of its words in the text; one by lot where none has any."""
    subjects = [name.strip() for name in values["subjects"].split(",")]
    there = {match[0].lower() for match in re.finditer(r"\w+", values["text"])}
    own: dict[str, str] = words()["subjects"]
    counts = {name: len({*own.get(name, "").split(), *name.lower().split()} & there) for name in subjects}
    best = max(counts.values())
    return max(counts, key=lambda name: counts[name]) if best else draw.choice(subjects)


def translation(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Line by line, word by word."""
    if values["language"] not in languages():
        known = ", ".join(languages())
        raise Unanswerable(f"the template engine has words of {known}, and none of {values['language']}")
    return "\n".join(translated(line, values["language"]) for line in values["text"].split("\n"))


def reflection(prompt: PromptFile, values: Values, draw: Random) -> str:
    return "A"


def cleaning(prompt: PromptFile, values: Values, draw: Random) -> str:
    return program(values["chunk"])


def _listed(entries: Iterable[str]) -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def _entries(listed: str) -> list[str]:
    return [line.removeprefix("- ") for line in listed.split("\n") if line.strip()]


# By the beginning of the prompt's name, the more particular first.
REPLIES: dict[str, Reply] = {
    "augment-backwards": backwards, "augment-": prose,
    "entigraph-entities": entities, "entigraph-": relation,
    "finephrase-faq": exercises.faq, "finephrase-math": exercises.problem, "finephrase-table": exercises.table,
    "finephrase-tutorial": exercises.tutorial, "doc2query": exercises.queries, "reading-tasks": exercises.tasks,
    "syne-qa": exercises.question, "syne-subject": subject, "wrap-qa": exercises.pairs,
    "nemotron-diverse-qa": exercises.pairs, "nemotron-extract": passages, "nemotron-knowledge": knowledge,
    "nemotron-distill": lean, "nemotron-wikipedia": prose, "leaner": lean, "wrap-easy": simple, "wrap-": prose,
    "mind-": conversation, "r2s-facts": facts, "r2s-plan": plan, "r2s-dialogue": dialogue,
    "translate": translation, "self-reflection": reflection, "prox-lines": cleaning,
}  # fmt: skip
