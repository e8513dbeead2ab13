"""How a function's container image is built: the Dockerfile, and what it says of the code."""
