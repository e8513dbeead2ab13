"""Extensions of AWS that answer handlers on a port of localhost, as far as they are served here."""
