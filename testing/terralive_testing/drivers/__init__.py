"""Programs under test, used as a user uses them: the command line, a project, a debugger, WebSocket clients."""
