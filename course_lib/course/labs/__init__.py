"""Labs: the checks that students see, the making of student versions, and the grading
of what comes back.
"""
