"""Streamed responses on their way from a worker to a stub."""
