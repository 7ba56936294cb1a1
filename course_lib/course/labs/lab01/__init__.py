"""The checks of Lab 1, prototypes: one module an exercise."""
