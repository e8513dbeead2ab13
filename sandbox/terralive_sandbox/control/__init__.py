"""The control plane.

Moto behind one thread, the gaps that it leaves, and what the sandbox does not support.
"""
