"""The diagrams of the chapters, one module each, every one with a function `draw`."""
