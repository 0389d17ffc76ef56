"""One module a step, each never changed after its release."""
