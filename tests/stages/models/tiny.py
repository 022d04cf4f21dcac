"""Real models that are tiny: random weights by seed and a tokenizer trained here, saved as a hub's folders are.

They go through the genuine code (Auto* classes, vLLM, `transformers serve`), load in a second and know nothing. Heads
have 32 dimensions, the fewest that vLLM's CPU attention takes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
)

VOCABULARY = 512
PAD, BOS, EOS = 0, 1, 2
CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
CORPUS = """The old mill stands beside the water, and the wheel still turns when the river is high enough in spring.
[0] Home | About [1] remove_lines(line_start=0, line_end=12) keep_all() normalize(source_str="", target_str="")
Mrs. Hale, who was 47 years old in 1892, sold the house for 1,350 pounds; nobody asked her why she had done that.
Share this page. Sign up for our newsletter! All rights reserved. Related stories: how to bake bread by hand.
Die Mühle steht am Fluss, und das Rad dreht sich noch immer. {"title": "a list", "values": [1, 2, 3], "true": false}
"""


@cache
def _bpe(begin: str, end: str) -> str:
    """A byte-level BPE of VOCABULARY tokens, as tokenizer.json has it; `end` follows texts where it is [SEP]."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", begin, end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS.splitlines() * 2, trainer)
    template = f"{begin} $A {end}" if end == "[SEP]" else f"{begin} $A"
    bpe.post_processor = processors.TemplateProcessing(template, special_tokens=[(begin, BOS), (end, EOS)])
    assert bpe.get_vocab_size() == VOCABULARY
    return str(bpe.to_str())


def tokenizer(chat: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """<s> in front of texts, </s> the end; without `pad` it has no padding token, as Llama 2's has none."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bpe("<s>", "</s>")),
        bos_token="<s>",
        eos_token="</s>",
        **({"pad_token": "<pad>"} if pad else {}),
    )
    if chat:
        fast.chat_template = CHAT
    return fast


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """[CLS] in front of texts, [SEP] behind."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bpe("[CLS]", "[SEP]")),
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="<pad>",
    )


def llama(
    folder: Path,
    seed: int = 0,
    hidden: int = 64,
    layers: int = 2,
    context: int = 512,
    chat: bool = True,
    pad: bool = True,
    **config: Any,
) -> Path:
    """A causal LM of 150 k parameters, in float32. Its weights are wide, so that greedy choices are not near-ties."""
    return _save(folder, LlamaForCausalLM, _llama_config(hidden, layers, context, **config), seed, tokenizer(chat, pad))


def llama_classifier(folder: Path, labels: int = 4, seed: int = 0, context: int = 512) -> Path:
    """As QuRater: a sequence classification head on a Llama that reads the last token that is not padding (id 0)."""
    config = _llama_config(64, 2, context, num_labels=labels, pad_token_id=PAD)
    return _save(folder, LlamaForSequenceClassification, config, seed, tokenizer(chat=False))


def bert_regression(folder: Path, seed: int = 0, context: int = 512) -> Path:
    """As the FineWeb-Edu classifier: one label whose logit is the score."""
    config = _bert_config(context, num_labels=1, problem_type="regression")
    return _save(folder, BertForSequenceClassification, config, seed, bert_tokenizer())


def bert_labels(folder: Path, names: tuple[str, ...] = ("safe", "toxic"), seed: int = 0, context: int = 512) -> Path:
    """A classifier with named labels."""
    config = _bert_config(context, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    return _save(folder, BertForSequenceClassification, config, seed, bert_tokenizer())


def bert_encoder(folder: Path, pooling: str | None = "mean", seed: int = 0, context: int = 512) -> Path:
    """An encoder for embeddings; `pooling` as sentence-transformers writes it: mean, cls, lasttoken; None: no file."""
    _save(folder, BertModel, _bert_config(context), seed, bert_tokenizer())
    return _pooling(folder, pooling)


def qwen3_encoder(folder: Path, pooling: str | None = "lasttoken", seed: int = 0, context: int = 512) -> Path:
    """As Qwen3-Embedding: a causal model without a head whose last token stands for the text."""
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=context,
        initializer_range=0.2,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    _save(folder, Qwen3Model, config, seed, tokenizer(chat=False))
    return _pooling(folder, pooling)


def llama_headless(folder: Path, seed: int = 0) -> Path:
    """A base model: what needs a head must refuse it, since transformers would make one up."""
    return _save(folder, LlamaModel, _llama_config(64, 2, 512, pad_token_id=PAD), seed, tokenizer(chat=False))


def bert_headless(folder: Path, seed: int = 0) -> Path:
    """A base encoder without a classification head."""
    return _save(folder, BertModel, _bert_config(512), seed, bert_tokenizer())


def _llama_config(hidden: int, layers: int, context: int, **more: Any) -> LlamaConfig:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(hidden // 32, 1),
        "head_dim": 32,
        "max_position_embeddings": context,
        "initializer_range": 0.2,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        **more,
    }
    return LlamaConfig(**settings)


def _bert_config(context: int, **more: Any) -> BertConfig:
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        pad_token_id=PAD,
        **more,
    )


def _save(folder: Path, model: Any, config: Any, seed: int, words: PreTrainedTokenizerFast) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(config).to(torch.float32).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _pooling(folder: Path, mode: str | None) -> Path:
    """The files of sentence-transformers that say how tokens become one vector."""
    if mode is None:
        return folder
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}
    pooling = {f"pooling_mode_{name}": key == mode for key, name in names.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 64, **pooling}))
    return folder
