"""Checks of lab 9, a module an exercise or a function of it."""
