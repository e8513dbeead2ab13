"""Contents of the files that `terralive init` writes. Pure."""
