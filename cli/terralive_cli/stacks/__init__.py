"""The stacks of a CDKTF program that are live together in one stage."""
