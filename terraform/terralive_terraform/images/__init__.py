"""The build of a function's container image: its Dockerfile, and the code that it names."""
