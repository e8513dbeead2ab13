"""AWS on loopback: moto is the control plane; API Gateway and Lambda have data planes of our own."""
