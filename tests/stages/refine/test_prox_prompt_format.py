"""The four prompts, as Llama-2's and ChatML's templates write them (methods 1.2, 1.4), and what is cut off."""

import pytest

from stages.refine.prompt_format import FORMATS, PromptFormat, chunk_prompt, document_prompt, wrap
from tests.stages.refine.scripted import Scripted

SYS = "You are a helpful, respectful and honest assistant."


@pytest.mark.parametrize(
    ("prompt_format", "expected"),
    [
        ("llama2_sys", f"<s>[INST] <<SYS>>\n{SYS}\n<</SYS>>\n\n[doc]\n[000]a\n[001]b\n[/doc] [/INST]"),
        ("llama2_nosys", "<s>[INST] [doc]\n[000]a\n[001]b\n[/doc] [/INST]"),
        ("plain", "[doc]\n[000]a\n[001]b\n[/doc]"),
        (
            "chatml",
            f"<|im_start|>system\n{SYS}<|im_end|>\n<|im_start|>user\n[doc]\n[000]a\n[001]b\n[/doc]<|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
    ],
)
def test_a_chunk_in_each_format(prompt_format: PromptFormat, expected: str) -> None:
    assert chunk_prompt("[000]a\n[001]b", prompt_format) == expected


def test_llama_strips_what_is_between_its_tags() -> None:
    assert wrap("a\n\n", "llama2_sys").endswith("<</SYS>>\n\na [/INST]")
    assert wrap("\n a\n", "llama2_nosys") == "<s>[INST] a [/INST]"
    assert wrap(" a\n", "plain") == " a\n"


def document(text: str, prompt_format: PromptFormat, most: int, whole: bool) -> str:
    engine = Scripted(lambda _: "")
    tokens = document_prompt(text, prompt_format, lambda t, special: engine.tokenize([t], special)[0], most, whole)
    return " ".join(engine.vocabulary[token] for token in tokens)


def test_a_document_that_fits_has_one_bos() -> None:
    assert document("a b", "llama2_nosys", 9, False) == "<s>[INST] a b [/INST]"
    assert document("a b", "plain", 9, False) == "<bos> a b"


def test_a_long_document_loses_the_closing_tag_as_in_the_original() -> None:
    assert document("a b c d e", "llama2_nosys", 4, False) == "<s>[INST] a b c"


def test_or_its_own_end_if_the_tag_is_to_stay() -> None:
    assert document("a b c d e", "llama2_nosys", 4, True) == "<s>[INST] a b [/INST]"
    assert document("a b c d e", "llama2_nosys", 7, True) == "<s>[INST] a b c d e [/INST]"


@pytest.mark.parametrize("prompt_format", FORMATS)
def test_no_prompt_is_longer_than_the_model_takes(prompt_format: PromptFormat) -> None:
    for whole in (True, False):
        tokens = document("x " * 5000, prompt_format, 100, whole).split()
        assert 90 < len(tokens) <= 100
