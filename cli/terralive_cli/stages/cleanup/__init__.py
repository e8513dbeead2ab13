"""Removal of debug stacks that nobody uses, without the checkouts of their apps (`gc`)."""
