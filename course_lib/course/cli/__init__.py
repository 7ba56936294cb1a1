"""The `course` command: the library's numbers, the labs and the machine, from a
terminal.
"""
