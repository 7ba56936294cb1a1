"""Stacks that are more than attention and feed-forward networks, layer upon layer:
memories between segments, shared and looped layers, other residual connections, other
mixers.
"""
