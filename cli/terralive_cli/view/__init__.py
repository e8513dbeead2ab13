"""The live view of `start` on a terminal: a footer below the stream, and keys."""
