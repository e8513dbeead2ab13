"""The control plane: moto behind one thread, the gaps that it leaves, and what the sandbox does not support."""
