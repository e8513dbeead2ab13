"""Other services invoke functions: their events, schedules, and retries after a failure."""
