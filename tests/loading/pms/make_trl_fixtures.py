"""Let TRL's RewardTrainer train and save a tiny reward model, whole and as an adapter.

What it wrote is kept in ``trl/``, since TRL is no dependency of the tests.  To make it again:

    pip install trl==1.16.0 peft
    python tests/loading/pms/make_trl_fixtures.py
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import RewardConfig, RewardTrainer

OUT = Path(__file__).parent / "trl"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def make_tokenizer() -> PreTrainedTokenizerFast:
    letters = ["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    rules = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=rules, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForSequenceClassification:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        num_labels=1,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForSequenceClassification(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def train(name: str, **options: Any) -> None:
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    if options:
        model.save_pretrained(OUT / "base")
    pairs = [
        {"prompt": "Human: Hi\n", "chosen": f"Good {number}", "rejected": f"Bad {number}"}
        for number in range(4)
    ]
    settings = RewardConfig(
        output_dir=str(OUT / "run"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.05,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
    )
    trainer = RewardTrainer(
        model=model,
        args=settings,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(pairs),
        **options,
    )
    trainer.train()
    trainer.save_model(str(OUT / name))


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    train("whole")
    lora = LoraConfig(
        task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["score"]
    )
    train("adapter", peft_config=lora)
    shutil.rmtree(OUT / "run", ignore_errors=True)
    for name in ("README.md", "training_args.bin"):  # say where they were made, and nothing else
        for path in OUT.rglob(name):
            path.unlink()
