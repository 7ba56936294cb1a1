"""Generate: text from any model, one token at a time. Import from the defining
module.
"""
