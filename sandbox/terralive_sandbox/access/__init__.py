"""Who calls, and whether they may.

Signatures, policies, identities, and the IAM actions of requests.
"""
