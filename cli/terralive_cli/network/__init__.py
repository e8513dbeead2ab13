"""How terralive reaches AWS from this machine: certificates, the clock and the endpoint."""
