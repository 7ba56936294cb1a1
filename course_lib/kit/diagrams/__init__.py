"""Diagrams as SVG: the pen, the marks of the course's one drawing language, boxes whose
rows line up, panels that wrap on a phone. Nothing here knows a model.
"""
