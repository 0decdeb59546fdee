"""Is a judge's reward what transformers gives?

The rubric is filled in by hand, tokenised by the model's own tokenizer, and read by the whole
language model, one text at a time: in fp32 as pm_audit does, and in fp64, which says which of two
fp32 numbers is nearer to the exact one.  Texts are answers and passages on held-out prompts.

    python -m benchmarks.judge_rewards smollm2-135m preferences.jsonl.gz text.jsonl.gz

The bar: within 1e-5 on 200 texts.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pm_audit.forward.trace import rewards
from pm_audit.loading.judges.load import load_judge
from recipes.judges.activations import draw, grid_of
from recipes.train.activations import Corpus
from recipes.train.preferences import is_test, read_pairs

FOLDERS = {
    "smollm2-135m": "SmolLM2-135M-Instruct.Q4_1.language-model",
    "gemma3-270m": "gemma-3-270m-q4_k_m.language-model",
}
"""What the judge's GGUF file was turned into, in the cache."""
NAMES = {"system": "System: ", "human": "User: ", "assistant": "Assistant: "}
TEXTS, LONGEST = 200, 160
"""Characters of a prompt and of a completion."""


def texts_of(corpus: Corpus):
    held_out = [
        pair
        for pair in read_pairs(corpus.preferences)
        if is_test(pair) and len(pair.prompt) < LONGEST
    ]
    drawn = enumerate(draw(held_out, corpus.documents(), seed=7))
    every = ((1000 * at + n, turns, text[:LONGEST]) for at, one in drawn for n, turns, text in one)
    return list(islice(every, TEXTS))


def ids_of(judge: str, tokenizer, turns, completion: str) -> list[int]:
    """Return the ids of the rubric with a prompt and a completion, as transformers gives them."""
    several = "\n\n".join(NAMES[turn.speaker] + turn.text for turn in turns)
    asked = turns[0].text if len(turns) == 1 else several
    answer = completion.removeprefix(" ")
    if judge == "gemma3-270m":
        text = (
            "Is the answer to the question good, Yes or No?\n\n"
            f"Question: {asked}\n\nAnswer: {answer}\n\nGood:"
        )
        # a text that holds "<unk>" is no special token
        return [tokenizer.bos_token_id, *tokenizer(text, split_special_tokens=True).input_ids[1:]]
    text = (
        "Is the answer to this question good?\n\n"
        f"Question: {asked}\n\nAnswer: {answer}\n\nReply with Yes or No."
    )
    message = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]


def verdicts_of(judge: str, tokenizer) -> tuple[int, int]:
    words = (" Yes", " No") if judge == "gemma3-270m" else ("Yes", "No")
    ((yes,), (no,)) = (tokenizer.encode(word, add_special_tokens=False) for word in words)
    return yes, no


@torch.inference_mode()
def logit_differences(model, ids, verdicts) -> np.ndarray:
    yes, no = verdicts
    found = []
    for one in ids:
        logits = model(torch.tensor([one]), logits_to_keep=1).logits[0, -1]
        found.append(float(logits[yes] - logits[no]))
    return np.array(found)


def apart(some: np.ndarray, others: np.ndarray) -> dict[str, float]:
    wrong = np.abs(some - others)
    return {"largest": wrong.max(), "root_mean_square": np.sqrt((wrong**2).mean())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("judge", choices=FOLDERS)
    parser.add_argument("preferences", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    given = parser.parse_args()
    texts = texts_of(Corpus(preferences=given.preferences, text=given.text))
    pm = load_judge(f"judge:{given.judge}", dtype=getattr(torch, given.dtype))
    ours = rewards(pm, grid_of(pm, texts))
    folder = Path.home() / ".cache/pm_audit" / FOLDERS[given.judge]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [ids_of(given.judge, tokenizer, turns, text) for _, turns, text in texts]
    same = sum(
        list(pm.text_format.tokenise(turns, text).token_ids) == one
        for (_, turns, text), one in zip(texts, ids, strict=True)
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    verdicts = verdicts_of(given.judge, tokenizer)
    theirs = logit_differences(model, ids, verdicts)
    exact = logit_differences(model.double(), ids, verdicts)
    found = {
        "judge": given.judge,
        "texts": len(texts),
        "same_ids": same,
        "sd": ours.std(),
        "pm_audit_and_fp64": apart(ours, exact),
        "transformers_fp32_and_fp64": apart(theirs, exact),
        "pm_audit_and_transformers_fp32": apart(ours, theirs),
    }
    print(json.dumps(found, indent=1))
    return int(same < len(texts) or found["pm_audit_and_fp64"]["largest"] > 1e-5)


if __name__ == "__main__":
    raise SystemExit(main())
