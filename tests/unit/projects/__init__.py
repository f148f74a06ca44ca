"""Files of the projects in which the documentation's examples run."""
