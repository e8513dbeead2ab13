"""Checks of this machine, the AWS account and the project, for `terralive doctor`."""
