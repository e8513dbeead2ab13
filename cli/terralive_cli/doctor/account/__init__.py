"""Checks of the AWS account and of the way to it. They read, and change nothing there."""
