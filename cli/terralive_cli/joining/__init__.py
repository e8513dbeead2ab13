"""What exists of a debug stack in the account, and what may be done with it from here."""
