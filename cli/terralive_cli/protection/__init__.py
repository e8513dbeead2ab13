"""Protection of what must not be touched: accounts, production, functions that others hold."""
