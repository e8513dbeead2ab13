"""The fallback: the real code of live functions, as published versions that their stubs invoke."""
