"""Positions: their numbering, RoPE, absolute tables, biases on the scores."""
