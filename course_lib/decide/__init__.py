"""Choosing among candidates: objectives under constraints, and worked comparisons."""
