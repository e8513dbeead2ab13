"""Journals of sessions: everything that a session has shown, written, read and selected."""
