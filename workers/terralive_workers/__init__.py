"""Local processes that run Lambda handlers, and the Runtime API that they speak with."""
