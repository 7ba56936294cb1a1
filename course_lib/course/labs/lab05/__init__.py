"""Lab 5: discretise, scan, convolve, select, average and correct: recurrences whose
state does not grow.
"""
