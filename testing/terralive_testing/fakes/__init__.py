"""Stand-ins for real parts: a broker's table and gateway in memory, a simulated network, made-up messages."""
