"""How other services reach functions: what they send, when they send it, and what becomes of a failure."""
