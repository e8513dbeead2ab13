"""Finds deployed functions that carry a stub, and puts their own code back."""
