"""JSON Schema of the files that users write, for editors (https://json-schema.org/draft/2020-12).

The schema is made from the models that read the files, so that an editor accepts what the audit
accepts.  A YAML file names it in its first line:
``# yaml-language-server: $schema=hypothesis.schema.json``.
"""

from __future__ import annotations

from typing import Any

from pm_audit.spec.hypothesis import WrittenHypothesis
from pm_audit.spec.probe import WrittenProbe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a ``hypothesis`` or a ``probe`` file.

    Raises:
        ValueError: another kind.

    """
    if kind == "probe":
        return {"$schema": DIALECT, **_tidy(WrittenProbe.model_json_schema())}
    if kind != "hypothesis":
        raise ValueError(f"no schema for {kind!r}; there is one for `hypothesis` and for `probe`")
    whole = _tidy(WrittenHypothesis.model_json_schema())
    definitions = whole.pop("$defs")
    # `effect` gives the gap that `expect` leaves out, so authors may leave `expect` out too
    whole["required"].remove("expect")
    whole["required"].remove("effect")  # which `generate` needs not; every other source requires it
    del definitions["Expect"]["required"]
    definitions["WrittenHypothesis"] = whole
    one = {"$ref": "#/$defs/WrittenHypothesis"}
    return {
        "$schema": DIALECT,
        "title": "Hypotheses of pm_audit",
        "description": "One hypothesis, or a list of them.",
        # not anyOf: by kind, an editor completes and explains the keys of the right one
        "if": {"type": "array"},
        "then": {"type": "array", "items": one, "minItems": 1},
        "else": one,
        "$defs": definitions,
    }


def _tidy(schema: Any) -> Any:  # noqa: ANN401 - a JSON Schema holds itself at every depth
    """Drop ``null``, which stands for a missing key and which an author may not write."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidy(value)
        for key, value in schema.items()
        if not (key == "default" and value in (None, []))
    }
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    options = tidy.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        (option,) = [option for option in options if option != {"type": "null"}]
        del tidy["anyOf"]
        tidy = option | tidy
    return tidy
