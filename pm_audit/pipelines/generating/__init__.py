"""Edits of completions, drawn and shrunk by `hypothesis`, and judged on unseen prompts."""
