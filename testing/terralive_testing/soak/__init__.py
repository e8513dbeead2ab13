"""The soak: the whole system in the sandbox under random faults, and a judge of all records.

`make soak` runs it. docs/RELIABILITY.md says what it shows.
"""
