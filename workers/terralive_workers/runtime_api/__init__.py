"""Lambda's Runtime API, from which workers get their invocations."""
