"""The team's app of a stage: its plans with and without stubs, and what is live."""
