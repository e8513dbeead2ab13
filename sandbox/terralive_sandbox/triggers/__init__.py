"""How other services reach functions.

What they send, when they send it, and what becomes of a failure.
"""
