"""Lambda's data plane: deployed functions, their execution environments and their invocations."""
