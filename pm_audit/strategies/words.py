"""What the strategies write: marks, emoji, markup, white space, look-alikes and registers.

The simplest of each list stands first: a failure shrinks towards it.
"""

from __future__ import annotations

MARKS = ("!", "?", ",", ";", ":", "-", "...", "!!", "?!", "!!!", "\u2014", "\u2026")
"""Punctuation that is written behind a word."""

EMOJI = (
    *("\N{WHITE SMILING FACE}", "\N{HEAVY BLACK HEART}", "\N{SLIGHTLY SMILING FACE}"),
    *("\N{SMILING FACE WITH SMILING EYES}", "\N{PARTY POPPER}", "\N{SPARKLES}", "\N{FIRE}"),
    *("\N{THUMBS UP SIGN}", "\N{ROCKET}", "\N{LOUDLY CRYING FACE}", "\N{PILE OF POO}"),
    "\N{WHITE HEAVY CHECK MARK}",
)
"""Emoji that stand as words of their own."""

MARKUP = (
    *(("*", "*"), ("**", "**"), ("_", "_"), ("`", "`"), ("# ", ""), ("- ", ""), ("1. ", "")),
    *(("> ", ""), ("<b>", "</b>"), ("<p>", "</p>"), ("```\n", "\n```"), ("$", "$")),
)
"""What is written before and behind a word or the text."""

SPACES = (" ", "\n", "\t", "  ", "\n\n", "\u00a0", "\u2009", "\u200b", "\u200d", "\u2060")
"""White space, also of no width, that is written behind a word."""

LOOK_ALIKES = (
    *(("a", "\u0430"), ("e", "\u0435"), ("o", "\u043e"), ("i", "\u0456"), ("c", "\u0441")),
    *(("p", "\u0440"), ("x", "\u0445"), ("y", "\u0443"), ("A", "\u0410"), ("E", "\u0415")),
    *(("O", "\u041e"), ("C", "\u0421"), ("P", "\u0420"), ("T", "\u0422"), ("H", "\u041d")),
)
"""Latin letters and the Cyrillic ones that look alike."""

TEXT = "{text}"
"""Stands for the text in a register template."""

REGISTERS = (
    "Well, {text}",
    "{text} lol",
    "yo, {text}",
    "{text} Cheers!",
    "Dear user, {text}",
    "{text} Kind regards.",
    "As an expert, I can say this: {text}",
    "Per the applicable documentation: {text}",
    "{text} I hope that this helps!",
    "ok so basically {text} and that's it",
    "Hark, gentle friend! {text} Fare thee well.",
)
"""Templates that put the text into another register."""
