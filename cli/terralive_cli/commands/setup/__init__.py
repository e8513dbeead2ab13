"""The bodies of the commands that prepare a project and check it."""
