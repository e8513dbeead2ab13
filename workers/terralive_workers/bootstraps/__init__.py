"""The programs that run inside a worker.

The project's own interpreter runs them by their path. They are never imported.
"""
