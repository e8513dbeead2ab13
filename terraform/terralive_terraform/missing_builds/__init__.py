"""Plans of an app in which files are missing that a build makes."""
