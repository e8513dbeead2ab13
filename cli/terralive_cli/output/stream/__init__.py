"""The stream of a live session: what invocations, their logs and their ends look like in text."""
