"""Events as JSON documents: their published schema, and reading them back."""
