"""The soak: the whole system in the sandbox under random faults, and a judge of what everybody has written down.

`python -m soak` (`make soak`) runs it; docs/RELIABILITY.md says what it shows.
"""
