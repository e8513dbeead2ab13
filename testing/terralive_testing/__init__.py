"""Helpers that tests, benches and the soak share. The product never imports them."""
