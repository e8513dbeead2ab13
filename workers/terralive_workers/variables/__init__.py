"""Rules by which a variable of a function in Lambda becomes a variable of its worker here."""
