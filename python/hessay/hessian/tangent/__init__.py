"""Products by tangent and cotangent passes over a graph, in torch."""
