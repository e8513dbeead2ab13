"""Local processes that run Lambda handlers, and the Runtime API that serves them."""
