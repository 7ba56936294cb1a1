"""The checks of Lab 3, the KV cache: one module an exercise."""
