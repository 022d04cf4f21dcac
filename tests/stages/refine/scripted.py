"""An engine that says what a test tells it to say; its tokens are words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Prompt, Request, Scored, Usage, Vector
from stages.models.spec import parse

Say = Callable[[str], str | Failure]


@dataclass
class Scripted:
    """Answers a prompt by what `say` makes of its text; words are tokens, and a special one goes in front."""

    say: Say
    context: int | None = None
    labels: tuple[str, ...] = ()
    requests: list[Request] = field(default_factory=list)
    vocabulary: list[str] = field(default_factory=lambda: ["<bos>"])

    def text(self, prompt: Prompt) -> str:
        if prompt.tokens is None:
            return str(prompt.text)
        return " ".join(self.vocabulary[token] for token in prompt.tokens)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        self.requests += requests
        for number, request in reversed(list(enumerate(requests))):
            said = self.say(self.text(request.prompt))
            yield number, said if isinstance(said, Failure) else Answer(said, "stop", Usage(100, 10, 0.5))

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        found = []
        for text in texts:
            words = (["<bos>"] if special else []) + text.split()
            self.vocabulary += [word for word in dict.fromkeys(words) if word not in self.vocabulary]
            found.append([self.vocabulary.index(word) for word in words])
        return found

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        raise NotImplementedError

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        raise NotImplementedError

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        raise NotImplementedError

    def close(self) -> None:
        pass


def asker(say: Say, context: int | None = None, folder: Path | None = None, options: str = "") -> Asker:
    """A scripted engine as stages use one."""
    spec = parse(f"transformers:{folder or 'nobody/model'}{options}", "test")
    return Asker(spec, Scripted(say, context), "model")


def said_to(one: Asker) -> list[str]:
    """The prompts that were asked, in order."""
    engine = one.engine
    assert isinstance(engine, Scripted)
    return [engine.text(request.prompt) for request in engine.requests]
