"""Describes events, results and errors of invocations to a person. Pure.

Nothing here is used for a decision but `fifo_messages`: a message has one handler at a time.
Events, results and errors are bytes that other programs made, so nothing here raises.
"""
