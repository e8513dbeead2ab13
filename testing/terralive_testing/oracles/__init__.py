"""Oracles that results are compared with: AWS's service models, AWS's sample events, exact counts."""
