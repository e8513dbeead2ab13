"""Where the local code of a function comes from."""
