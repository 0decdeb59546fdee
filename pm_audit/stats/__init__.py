"""Statistics over prompts: intervals, equivalence, multiplicity, power."""
