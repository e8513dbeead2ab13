"""The body of the command that runs AWS in one local process."""
