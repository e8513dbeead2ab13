"""Lambda's data plane: deployed functions run in real processes, under their role's credentials."""
