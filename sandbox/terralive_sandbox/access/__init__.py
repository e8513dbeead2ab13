"""Who calls, and whether they may: signatures, policies, identities, and the IAM actions of requests."""
