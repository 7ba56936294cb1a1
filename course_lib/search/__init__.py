"""Search over architectures under a budget."""
