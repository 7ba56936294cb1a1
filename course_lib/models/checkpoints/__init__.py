"""Checkpoint folders of Hugging Face: names, QKV packing, weights, files."""
