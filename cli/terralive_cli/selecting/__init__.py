"""The selection of the functions that become live, and of those that get their own code first."""
