"""The sandbox, and what tests deploy into it.

Functions, debug stacks, event sources; faults on demand.
"""
