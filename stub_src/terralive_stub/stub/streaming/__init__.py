"""Streamed responses: the pieces that a relay sends, and the request that gives them to Lambda."""
