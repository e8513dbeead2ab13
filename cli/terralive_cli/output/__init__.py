"""Everything that a command shows: events, and the terminal or JSON text that they become."""
