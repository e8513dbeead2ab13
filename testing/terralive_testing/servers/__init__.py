"""Servers that are not ours, in the place of AWS: an emulator and a container registry."""
