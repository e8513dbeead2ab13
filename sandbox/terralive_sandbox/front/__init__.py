"""The front: the loopback port, and everything that happens to a request before a service answers.

The server and its HTTP protocol, requests to AWS, the sandbox's own addresses.
"""
