"""AWS on loopback: moto is the control plane; API Gateway and Lambda have our own data planes."""
