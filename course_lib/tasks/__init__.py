"""Data that needs no download: synthetic tasks and real text that ships with Python."""
