"""Kernels for one kind of device, each checked against a plain form. Imported only when
asked.
"""
