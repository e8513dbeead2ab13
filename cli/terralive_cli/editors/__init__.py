"""Configurations of editors, with which a developer attaches to debugged functions."""
