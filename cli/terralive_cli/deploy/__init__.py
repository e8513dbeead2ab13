"""Deployment of the debug stack and of the app, and the questions that come before it."""
