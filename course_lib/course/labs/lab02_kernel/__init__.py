"""The checks of the extra to Lab 2, attention as a GPU kernel in Triton: one module an
exercise.
"""
