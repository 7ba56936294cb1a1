"""Simulations of what one machine cannot run: memory allocators and a serving queue."""
