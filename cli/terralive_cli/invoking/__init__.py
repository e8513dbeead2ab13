"""Invocations of one function by `terralive invoke`: its event, the call, and its answer."""
