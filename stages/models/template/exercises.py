"""Questions and answers that the template engine makes: sentences with a gap, and what belongs there."""

from random import Random

from stages.models.template.source import WORD, Cloze, cloze, source
from stages.models.template.wording import ended, retold
from stages.prompts import PromptFile

MOST_TASKS, MOST_PAIRS, OF_TABLE = 8, 5, 3
LONGER = 2.5  # times its text that questions and answers are at most: the guards let 3 pass

Values = dict[str, str]


def clozes(text: str) -> list[Cloze]:
    """One for each sentence that has something to ask for, each question once."""
    found = source(text)
    made = (cloze(sentence, tuple(found.names)) for sentence in found.sentences)
    return list({one.question.casefold(): one for one in made if one is not None}.values())


def told(pairs: list[Cloze]) -> str:
    """Pairs in lines that begin with Question: and Answer:."""
    return "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in pairs)


def pairs(prompt: PromptFile, values: Values, draw: Random) -> str:
    """One for each sentence, as far as they are not much longer than the text; eight of them if that is the most."""
    found = clozes(values["text"])
    if "eight" in prompt.user:
        found = found[:MOST_TASKS]
    while len(found) > 1 and len(told(found)) > LONGER * len(values["text"]):
        found.pop()
    return told(found)


def instructions(text: str) -> str:
    """As Instruction Pre-Training's synthesizer writes them (stages/synthesize/instruction_form.py)."""
    return "\n\n".join(f"<QUE> {question} <ANS> {answer} </END>" for question, answer in clozes(text)[:MOST_PAIRS])


def question(prompt: PromptFile, values: Values, draw: Random) -> str:
    """One pair, about any sentence; what follows it in the text is the reason."""
    found = source(values["text"])
    asked = clozes(values["text"])
    if not asked:
        return "Question: ?\nAnswer:"
    one = draw.choice(asked)
    at = next(n for n, sentence in enumerate(found.sentences) if cloze(sentence, tuple(found.names)) == one)
    reason = found.sentences[at + 1 : at + 2]
    return told([Cloze(one.question, " ".join([ended(one.answer), *reason]))])


def tasks(prompt: PromptFile, values: Values, draw: Random) -> str:
    """A title, a sentence in other words, and gaps."""
    found = source(values["text"])
    made = [Cloze("What could be the title of this text?", found.topics()[0])] if found.sentences else []
    made += [Cloze(f"Say in other words: {sentence}", retold(sentence, draw)) for sentence in found.sentences[:1]]
    return told([*made, *clozes(values["text"])][:MOST_TASKS])


def queries(prompt: PromptFile, values: Values, draw: Random) -> str:
    """What sentences are about, and their longest words in order, in turn."""
    found = source(values["text"])
    made: dict[str, str] = {}
    for topic, sentence in zip(found.topics(), found.sentences, strict=True):
        words = [match[0] for match in WORD.finditer(sentence)]
        longest = sorted(sorted(range(len(words)), key=lambda n: -len(words[n]))[:4])
        for query in (f"what is known of {topic}", " ".join(words[n] for n in longest).lower()):
            made.setdefault(query.casefold(), query)
    return "\n".join(f"- {query}" for query in list(made.values())[: int(values["queries"])])


def faq(prompt: PromptFile, values: Values, draw: Random) -> str:
    """A question on what each sentence is about, and the sentence."""
    found = source(values["text"])
    lines = (f"{topic}?\n{ended(s)}" for topic, s in zip(found.topics(), found.sentences, strict=True))
    return "\n\n".join(lines)


def tutorial(prompt: PromptFile, values: Values, draw: Random) -> str:
    """Sentences as numbered steps."""
    return "\n".join(f"{n}. {ended(sentence)}" for n, sentence in enumerate(source(values["text"]).sentences, 1))


def table(prompt: PromptFile, values: Values, draw: Random) -> str:
    """What each sentence is about, and the sentence; some questions about it."""
    found = source(values["text"])
    parts = zip(found.topics(), found.sentences, strict=True)
    rows = [(topic.replace("|", "/"), sentence.replace("|", "/")) for topic, sentence in parts]
    lines = [f"| {topic} | {sentence} |" for topic, sentence in rows]
    asked = [Cloze(f"{topic}: how does its row end?", said.split()[-1].strip(".!?")) for topic, said in rows[:OF_TABLE]]
    return "\n".join(["| Subject | What is said |", "| --- | --- |", *lines, "", told(asked)])


def problem(prompt: PromptFile, values: Values, draw: Random) -> str:
    """How many words there are, counted sentence by sentence."""
    found = source(values["text"])
    steps, total = [], 0
    for topic, sentence in zip(found.topics(), found.sentences, strict=True):
        total += len(sentence.split())
        steps.append(f"{topic}: {len(sentence.split())} words, {total} so far.")
    return "\n".join(["How many words do the sentences of this text have together?", *steps, f"They have {total}."])
