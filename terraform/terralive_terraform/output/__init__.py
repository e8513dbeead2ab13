"""Output of Terraform: events, state, saved plans and error texts. Pure."""
