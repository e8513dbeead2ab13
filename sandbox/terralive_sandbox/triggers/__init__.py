"""Other services invoke functions: their events, their schedules, and what happens after a failure."""
