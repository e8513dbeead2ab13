"""Callers of requests, and the access that policies allow them.

Signatures, identities, policies, the IAM actions of requests, and responses to denied requests.
"""
