"""The trained model that runs on a page: its weights as a script, its training curve,
the texts to try.
"""
