"""Plain formats: fixed words around each turn, without a chat template."""

from __future__ import annotations

from dataclasses import dataclass

from pm_audit.data.dialogue import Dialogue, Speaker
from pm_audit.text.rendered import Rendered, joined


@dataclass(frozen=True, slots=True)
class Layout:
    """What a plain format writes before and after each turn."""

    human: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] = ("", "\n\n")
    cue: str = ""
    """Written before the completion."""
    end: str = ""
    """Written after the completion."""
    start: str = ""
    """Written before everything."""
    keeps_space: bool = True
    """Whether a completion keeps its leading space."""

    def write(self, turns: Dialogue, completion: str) -> Rendered:
        """Write out a prompt and one completion of it."""
        around = {
            Speaker.SYSTEM: self.system,
            Speaker.HUMAN: self.human,
            Speaker.ASSISTANT: self.assistant,
        }
        pieces = [(self.start, True)]
        for turn in turns:
            before, after = around[turn.speaker]
            pieces += [(before, True), (turn.text, False), (after, True)]
        written = completion if self.keeps_space else completion.removeprefix(" ")
        pieces += [(self.cue, True), (written, False), (self.end, True)]
        return joined(pieces, completion=len(pieces) - 2)


LAYOUTS: dict[str, Layout] = {
    "hh": Layout(("\n\nHuman: ", ""), ("\n\nAssistant: ", ""), cue="\n\nAssistant:"),
    "raw": Layout(("", ""), ("", "")),
    "oasst": Layout(
        ("<|prompter|>", "<|endoftext|>"),
        ("<|assistant|>", "<|endoftext|>"),
        system=("<|system|>", "<|endoftext|>"),
        cue="<|assistant|>",
        end="<|endoftext|>",
        keeps_space=False,
    ),
    "beaver": Layout(
        (" USER: ", ""), (" ASSISTANT:", ""), start="BEGINNING OF CONVERSATION:", cue=" ASSISTANT:"
    ),
    "ultra": Layout(("Human: ", "\n\n"), ("Assistant: ", "\n\n"), cue="Assistant:"),
}
