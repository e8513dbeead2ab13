"""Lambda authorizers: functions that decide whether a client may call an API."""
