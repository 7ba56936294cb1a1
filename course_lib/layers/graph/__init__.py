"""Layers on graphs: message passing."""
