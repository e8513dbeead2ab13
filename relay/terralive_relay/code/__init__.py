"""The local code: changes of its files, and its build command."""
