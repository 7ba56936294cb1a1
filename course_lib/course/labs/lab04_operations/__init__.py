"""Lab 4b: a mixture of experts in operation: metrics, a plan, an alert, placement,
quality by slice.
"""
