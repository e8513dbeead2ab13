"""This machine: waiting for a condition, processes, network namespaces."""
