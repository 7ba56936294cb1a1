"""Layers: the mechanisms of a model, each beside a plain reference. Import from the
defining module.
"""
