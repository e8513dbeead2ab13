"""Programs under test, used as a user uses them.

The command line, a project, a debugger, WebSocket clients.
"""
