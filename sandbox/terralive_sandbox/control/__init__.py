"""The control plane.

moto on one thread, the differences between moto and AWS, and operations that are not supported.
"""
