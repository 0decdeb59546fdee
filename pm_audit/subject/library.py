"""Ids and rewards as transformers alone makes them: the preflight's reference.

    ids        the tokenizer's own call, or ``apply_chat_template(tokenize=True)``
    rewards    the forward of the whole ``*ForSequenceClassification``: its padding, its pooling;
               of a judge the logits of ``*ForCausalLM`` after the last token

The model shares its weights with the one that is audited, so that it costs no memory.  Heads that
transformers does not know read the backbone's own forward of one row, linear ones in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pm_audit.data.dialogue import Dialogue
from pm_audit.subject.heads import LinearHead, verdict
from pm_audit.text import day as days
from pm_audit.text.ending import AS_WRITTEN, BOS, EOS, OPENRLHF
from pm_audit.text.layouts import LAYOUTS
from pm_audit.text.rubric import RubricFormat
from pm_audit.text.template import ROLES
from pm_audit.text.text_format import CHAT, PAIR, TextFormat

if TYPE_CHECKING:
    from pm_audit.subject.preference_model import PreferenceModel

Text = tuple[Dialogue, str]
"""A prompt and a completion."""


@dataclass(frozen=True, eq=False)
class Library:
    """The model as transformers runs it."""

    model: Any
    """``*ForSequenceClassification``, in eval mode."""

    def outputs(self, rows: Sequence[Mapping[str, Any]]) -> Tensor:
        """Return the outputs [row, output] of tokenised rows, in fp32.

        Rows are one batch, filled up with the padding that the model knows; without one they are
        read one by one, as transformers must.
        """
        pad = self.model.config.get_text_config().pad_token_id
        if pad is None or pad >= self.model.get_input_embeddings().weight.shape[0]:
            return torch.cat([self._forward([row], 0) for row in rows])
        return self._forward(rows, pad)

    def _forward(self, rows: Sequence[Mapping[str, Any]], pad: int) -> Tensor:
        length = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": pad, "attention_mask": 0}
        if getattr(self.model.config, "type_vocab_size", 0) >= 2:
            fill["token_type_ids"] = 0
        inputs = {
            name: torch.tensor(
                [[*row[name], *[value] * (length - len(row[name]))] for row in rows],
                device=self.model.device,
            )
            for name, value in fill.items()
            if name in rows[0]
        }
        with torch.inference_mode():
            logits: Tensor = self.model(**inputs).logits
        return logits.float().cpu()


@dataclass(frozen=True, eq=False)
class JudgeLibrary(Library):
    """A causal language model that judges: its own logits of the verdicts after a text."""

    verdicts: tuple[int, ...]
    """Their token ids."""
    scores: tuple[float, ...] | None
    """What each counts, if the reward is the expected score; None for a difference."""

    def outputs(self, rows: Sequence[Mapping[str, Any]]) -> Tensor:
        """Return the reward [row, 1] of tokenised rows, each read alone, in fp32."""
        scores = None if self.scores is None else torch.tensor(self.scores)
        rewards = [verdict(self.logits(row["input_ids"])[None], scores) for row in rows]
        return torch.stack(rewards)

    def logits(self, token_ids: Sequence[int]) -> Tensor:
        """Return the verdicts' logits [verdict] after one text, in fp32."""
        with torch.inference_mode():
            ids = torch.tensor([list(token_ids)], device=self.model.device)
            found: Tensor = self.model(input_ids=ids, use_cache=False).logits[0, -1]
        return found[list(self.verdicts)].float().cpu()


def library_rows(form: TextFormat, texts: Sequence[Text]) -> list[dict[str, Any]]:
    """Return each text's ids, mask and token types as transformers makes them.

    Texts must be free of special-token text, which transformers takes for special tokens.
    """
    return [_row(form, turns, completion) for turns, completion in texts]


def _row(form: TextFormat, turns: Dialogue, completion: str) -> dict[str, Any]:
    tokenizer = form.tokenizer
    if isinstance(form, RubricFormat):
        return _judged(form, turns, completion)
    if form.name == PAIR:
        prompt = "\n\n".join(turn.text for turn in turns)
        return dict(tokenizer(prompt, completion.removeprefix(" ")))
    bare = form.name == CHAT or form.end == OPENRLHF
    if form.name == CHAT and form.end == AS_WRITTEN:
        encoded = tokenizer.apply_chat_template(
            _messages(turns, completion), tokenize=True, return_dict=True, **_options(form)
        )
    else:
        text = _ended(form, _text(form, turns, completion))
        encoded = tokenizer(text, add_special_tokens=not bare)
    row = dict(encoded)
    if form.name == CHAT and form.end != OPENRLHF and form.start == BOS:
        row = _opened(tokenizer, row)
    if form.name != CHAT and form.start == AS_WRITTEN:
        begun = row["input_ids"][:1] == _begins(tokenizer)
        row = {name: values[begun:] for name, values in row.items()}
    added = list(form.appended)
    row["input_ids"] = [*row["input_ids"], *added]
    row["attention_mask"] = [1] * len(row["input_ids"])
    if "token_type_ids" in row:
        row["token_type_ids"] = [*row["token_type_ids"], *[0] * len(added)]
    return row


def _judged(form: RubricFormat, turns: Dialogue, completion: str) -> dict[str, Any]:
    """Return a rubric's row: as a user's message with the cue for an answer, or as plain text."""
    message = form.message("".join(turn.text for turn in turns), completion.removeprefix(" "))
    if form.name == CHAT:
        said = [{"role": "user", "content": message}]
        cue = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        row = dict(form.tokenizer.apply_chat_template(said, **cue, **_options(form)))
        return row if form.start == AS_WRITTEN else _opened(form.tokenizer, row)
    row = dict(form.tokenizer(message))
    begun = form.start == AS_WRITTEN and row["input_ids"][:1] == _begins(form.tokenizer)
    return {name: values[begun:] for name, values in row.items()}


def _text(form: TextFormat, turns: Dialogue, completion: str) -> str:
    if form.name != CHAT:
        return LAYOUTS[form.name].write(turns, completion).text
    text: str = form.tokenizer.apply_chat_template(
        _messages(turns, completion), tokenize=False, **_options(form)
    )
    return text


def _ended(form: TextFormat, text: str) -> str:
    """End a text as the trainers' own lines do."""
    eos = form.tokenizer.eos_token
    if form.end == AS_WRITTEN:
        return text
    if form.end == EOS:
        stripped = text.rstrip("\n")
        return stripped if stripped.endswith(eos) else text + eos
    if form.end == OPENRLHF:
        text = text.rstrip("\n")
        return text if text.endswith(eos) else f"{text} {eos}"
    return text + form.end


def _opened(tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Begin a row as the tokenizer begins every text, if the template does not."""
    first = _begins(tokenizer)
    if not first or row["input_ids"][:1] == first:
        return row
    put = {"input_ids": first, "attention_mask": [1]}
    return {name: [*put.get(name, [0]), *values] for name, values in row.items()}


def _begins(tokenizer: Any) -> list[int]:
    """Return the special token that the tokenizer begins every text with, if it has one."""
    first = tokenizer("a").input_ids[0]
    return [first] if first in (tokenizer.bos_token_id, tokenizer.cls_token_id) else []


def _messages(turns: Dialogue, completion: str) -> list[dict[str, str]]:
    said = [{"role": ROLES[turn.speaker], "content": turn.text} for turn in turns]
    return [*said, {"role": "assistant", "content": completion.removeprefix(" ")}]


def _options(form: TextFormat) -> dict[str, str]:
    """Stop the template's clock: the only thing that is not transformers' own here."""
    template = form.tokenizer.get_chat_template()
    if not days.reads_clock(template):
        return days.variables(form.day)
    day = form.day or days.DEFAULT
    return {"chat_template": days.pinned(template, day), **days.variables(form.day)}


def library_rewards(model: PreferenceModel, rows: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the rewards [row] of rows that transformers tokenised, by its own forward.

    The objective's weights are the PM's own; outputs, padding and pooling are transformers'.
    """
    if model.library is None:
        return torch.cat([_own_head(model, row["input_ids"]) for row in rows])
    outputs = model.library.outputs(rows)
    weights = getattr(model.head, "weights", None)
    if weights is None:
        return outputs[:, 0]
    rewards: Tensor = outputs @ weights.detach().float().cpu()
    return rewards


def _own_head(model: PreferenceModel, token_ids: Sequence[int]) -> Tensor:
    """Return the reward [1] of a row read alone, without padding, by the backbone's own forward."""
    ids = torch.tensor([list(token_ids)], device=model.device)
    with torch.inference_mode():
        hidden: Tensor = model.decoder.backbone(input_ids=ids).last_hidden_state[0].float()
        gated = None if model.gate is None else model.gate.position(token_ids)
        weights = None if gated is None or model.gate is None else model.gate(hidden[[gated]])
        read = hidden if model.readout == "mean" else hidden[[model.read_length(token_ids) - 1]]
        if not isinstance(model.head, LinearHead):
            return model.reward(read, weights).mean(dim=0, keepdim=True).cpu()
        direction, bias = (part.double().cpu() for part in (model.head.weight, model.head.bias))
        outputs = read.double().cpu() @ direction[0] + bias
        rewards: Tensor = outputs.mean(dim=0, keepdim=True).float()
        return rewards
