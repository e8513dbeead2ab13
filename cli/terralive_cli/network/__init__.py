"""The way to AWS from this machine: certificates, the clock and the endpoint."""
