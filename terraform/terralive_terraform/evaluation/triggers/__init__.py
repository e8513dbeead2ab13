"""Triggers of the functions of a plan: what they are, and how long an invocation may take."""
