"""The stub as a container image: it is put together here, and pushed to the debug stack."""
