"""Layers that send events in place of numbers."""
