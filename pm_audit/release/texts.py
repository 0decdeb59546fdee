"""Which texts two records hold: their prompts, phrasings and wordings."""

from __future__ import annotations

from collections import Counter

from pm_audit.records import Evidence, Role

_SEARCHED = "prompts with a search for features"


def dropped_texts(old: Evidence, new: Evidence) -> bool:
    """Whether a text of the baseline is missing from this run; texts may be added."""
    if Counter(_ids(old)) - Counter(_ids(new)):
        return True
    # of a prompt that was read for its gap alone, a record holds no text
    bare = {one.id for one in new.further}
    texts = Counter({key: count for key, count in _texts(old).items() if key[0] not in bare})
    return bool(texts - _texts(new))


def less_text(old: Evidence, new: Evidence) -> list[str]:
    """Return what this run has less of, as ``prompts from 16 to 12``."""
    was, now = _amounts(old), _amounts(new)
    if not (old.further or new.further):
        was.pop(_SEARCHED, None)  # they are all prompts
    return [
        f"{name} from {was[name]:g} to {now.get(name, 0):g}"
        for name in was
        if now.get(name, 0) < was[name]
    ]


def paired_prompts(old: Evidence, new: Evidence) -> list[tuple[int, int]] | None:
    """Return for each prompt of the baseline the same one here; None if one is missing.

    A prompt is the same if its own text and every completion of it are.
    """
    places = {key: place for place, key in enumerate(_prompt_keys(new))}
    keys = _prompt_keys(old)
    if len(places) < len(new.prompts) or len(set(keys)) < len(keys):
        # twins cannot be distinguished, so only identical evidence pairs
        return [(place, place) for place in range(len(keys))] if keys == _prompt_keys(new) else None
    if not all(key in places for key in keys):
        return None
    return [(place, places[key]) for place, key in enumerate(keys)]


def paired_further(old: Evidence, new: Evidence) -> tuple[list[float], list[float]] | None:
    """Return the gaps there and here of prompts that were read for their gap alone; None if others.

    Their texts are not recorded, so that they are the same only in the same file.
    """
    was, now = ({one.id: one.gap for one in evidence.further} for evidence in (old, new))
    files = [evidence.pairs.sha256 if evidence.pairs else None for evidence in (old, new)]
    if was.keys() != now.keys() or (was and files[0] != files[1]):
        return None
    return list(was.values()), [now[name] for name in was]


def _ids(evidence: Evidence) -> list[str]:
    return [*evidence.prompts, *(one.id for one in evidence.further)]


def _texts(evidence: Evidence) -> Counter[tuple[str, Role, str]]:
    return Counter((evidence.prompts[row.prompt], row.role, row.text) for row in evidence.rows)


def _prompt_keys(evidence: Evidence) -> list[tuple[object, ...]]:
    rows: list[list[object]] = [[text] for text in evidence.prompts]
    for row in evidence.rows:
        rows[row.prompt].append((row.role, row.variant, row.text))
    return [tuple(row) for row in rows]


def _amounts(evidence: Evidence) -> dict[str, float]:
    generated = evidence.generated
    if generated is not None:
        # how many prompts are judged depends on the edit that was found
        return {"edits drawn": generated.drawn, "prompts searched": len(generated.prompts)}
    amounts: dict[str, float] = {
        "prompts": evidence.tried,
        _SEARCHED: len(evidence.prompts),
    }
    for role in Role:
        amounts[f"{role}s"] = len({row.variant for row in evidence.rows if row.role is role})
    cells = {(row.prompt, row.role, row.variant) for row in evidence.rows}
    each = "wordings of a prompt" if evidence.pairs is None else "completions of a prompt and side"
    amounts[each] = len(evidence.rows) / len(cells)
    return amounts
