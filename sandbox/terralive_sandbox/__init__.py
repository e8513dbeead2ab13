"""AWS on loopback: moto for the control plane, our own data plane for API Gateway and Lambda."""
