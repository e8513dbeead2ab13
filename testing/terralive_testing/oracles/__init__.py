"""Oracles for results: AWS's service models, AWS's sample events, exact counts."""
