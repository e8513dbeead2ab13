"""Small helpers that every part uses, one copy each: JSON readers, atomic writes, timestamps.

Standard library only. A stub's zip contains only the modules that a stub imports.
"""
