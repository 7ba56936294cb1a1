"""The checks of Lab 2, attention and the layer around it: one module an exercise."""
