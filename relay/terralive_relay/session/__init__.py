"""The relay's side of the protocol: the lease, invocations and their results. No sockets."""
