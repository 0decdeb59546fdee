"""What a reader can do about a figure that is not steady enough."""

from __future__ import annotations


def more_prompts(tried: int, *, of: int | None, at_most: int | None) -> str:
    """Return what makes more prompts be tried; the setting ``prompts`` may stand in the way.

    Args:
        tried: prompts of the audit.
        of: prompts that the hypothesis has; None if a record does not say.
        at_most: the setting ``prompts``; None if all are tried.

    """
    if of is not None and of > tried:
        return f"{tried} of {of} prompts were tried: raise the setting `prompts`"
    if at_most is not None and tried >= at_most:
        return f"add prompts, and raise the setting `prompts` from {at_most}"
    return "add prompts"
