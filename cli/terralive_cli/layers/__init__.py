"""Layers of functions on this machine: the team's own files, and layers that are downloaded."""
