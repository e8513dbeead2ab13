"""What deployed functions carry, their own code or a stub, and how their own code comes back."""
