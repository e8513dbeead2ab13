"""Kills `terralive` at chosen points, and looks whether anything is left (`make kill`)."""
