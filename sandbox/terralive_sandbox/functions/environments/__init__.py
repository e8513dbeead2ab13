"""Execution environments: processes that run a function's handler, frozen between invocations.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""
