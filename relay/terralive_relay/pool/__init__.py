"""The workers of one function: which invocation gets which worker."""
