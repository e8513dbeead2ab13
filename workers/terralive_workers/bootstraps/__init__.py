"""What workers run, by its path and with the project's own interpreter.

Nothing here is ever imported.
"""
