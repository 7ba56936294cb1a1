"""course_lib: the library of Architecture, Measured. Import from the defining module,
not from here.
"""
