"""Models: layers put together as a published config says. Import from the defining
module.
"""
