"""Checks of this machine, which need no network but for the registry of providers."""
