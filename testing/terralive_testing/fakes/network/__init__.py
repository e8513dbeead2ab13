"""Stubs, brokers and relays in a simulated network, with a simulated clock and seeded faults."""
