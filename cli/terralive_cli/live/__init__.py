"""The relay of `terralive start`, and the work beside it while functions are live."""
