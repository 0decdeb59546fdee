"""Progress: what a person at a terminal sees while a run goes on."""
