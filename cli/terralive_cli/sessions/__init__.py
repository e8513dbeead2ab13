"""Sessions of `terralive start` on this machine: which ones run, what they report, how they end."""
