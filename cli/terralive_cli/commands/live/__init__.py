"""The bodies of the commands that make functions live, and of those that put them back."""
