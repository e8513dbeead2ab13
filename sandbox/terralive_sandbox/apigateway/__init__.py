"""API Gateway's data plane and Lambda's function URLs.

Each kind of API has a folder: its shell and, beside it, its events as pure functions.
"""
