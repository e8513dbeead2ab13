"""Stand-ins for real parts.

A broker's table and gateway in memory, a simulated network, made-up messages.
"""
