"""Resources of the app that an interrupted deployment has left, and the state lacks."""
