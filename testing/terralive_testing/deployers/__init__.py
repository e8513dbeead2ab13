"""The sandbox, and what tests deploy into it: functions, debug stacks, event sources; faults on demand."""
