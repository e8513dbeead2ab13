"""Layers: where runtimes look for their content, and folders that stand for `/opt` here."""
