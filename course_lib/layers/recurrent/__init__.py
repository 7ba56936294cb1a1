"""Mixers that keep a state of one size in place of keys and values."""
