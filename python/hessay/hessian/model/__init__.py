"""Somebody else's model: run, held still, looked into, and the place where it is differentiated."""
