"""Work of `terralive start` beside the relay while functions are live."""
