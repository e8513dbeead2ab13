"""The fallback: while no relay is connected, the function's deployed code answers."""
