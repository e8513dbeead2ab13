"""The look for a debug stack in the account, and the decision what is done with it here."""
