"""The bodies of the commands that show stages and remove old debug stacks."""
