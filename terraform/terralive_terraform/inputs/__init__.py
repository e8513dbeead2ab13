"""Inputs of a plan: the files that a configuration reads, and the data sources that it has."""
