"""A scan without a hypothesis: tasks over pairs, engines that run them, and what they found."""
