"""The stub: the code that runs in a live function's place."""
