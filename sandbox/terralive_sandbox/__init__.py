"""AWS on loopback: moto is the control plane; the data planes of API Gateway and Lambda are ours."""
