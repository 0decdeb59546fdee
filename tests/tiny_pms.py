"""A tokenizer made on the spot, and tiny checkpoints of each family written by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

torch.set_num_threads(1)  # tiny products; threads only wait for each other

CORPUS = [
    "Human: What is the capital of France? Assistant: It is Paris, as any atlas would tell you.",
    "Human: Is 17 a prime number? Assistant: Yes, no whole number but 1 and 17 divides it.",
    "I don't know. No problem! You're right, I'm wrong. https://example.org/a-page",
]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}"
    "<|end|>\n{% endfor %}"
)
SPECIAL = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
VOCABULARY = 400

TINY: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 64},
    "mistral": {"num_key_value_heads": 2, "intermediate_size": 64, "sliding_window": 8},
    "qwen2": {"num_key_value_heads": 2, "intermediate_size": 64},
    "qwen3": {"num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8},
    "gemma2": {"num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8},
    "gemma3_text": {"num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8},
    "gpt_neox": {"intermediate_size": 64},
    "gptj": {"rotary_dim": 4},
    "gpt2": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": {"intermediate_size": 64},
}
SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 256,
}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 20,
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    rules.train_from_iterator(CORPUS * 4, trainer)
    rules.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", rules.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rules,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL[3:],
        chat_template=CHAT_TEMPLATE,
    )


@pytest.fixture
def tiny_config(tokenizer: PreTrainedTokenizerFast) -> Callable[..., Any]:
    def build(kind: str, **changes: Any) -> Any:
        config = AutoConfig.for_model(kind, **(SIZES | TINY.get(kind, {}) | changes))
        config.pad_token_id = tokenizer.pad_token_id
        config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        return config

    return build


@pytest.fixture
def save_classifier(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., Path]:
    """Write a tiny ``*ForSequenceClassification`` of a family and return its folder."""

    def save(kind: str, *, labels: int = 1, **changes: Any) -> Path:
        torch.manual_seed(3)
        config = tiny_config(kind, num_labels=labels, **changes)
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path / kind
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save
