"""A network as a straight-line list of operations, and the layer program the native core runs."""
