"""Python on this machine: interpreters of deployed versions, and editable packages."""
