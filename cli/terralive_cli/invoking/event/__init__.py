"""The event of an invocation: a file, an example of a service, or one that was kept."""
