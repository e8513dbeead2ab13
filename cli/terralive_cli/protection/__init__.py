"""Checks, before anything is changed, of what must not be touched."""
