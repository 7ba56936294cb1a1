"""Left out of collection: what needs Triton, where none is published. Every run reports
its CPU minutes by chapter (`tests.minutes`).
"""

from importlib.util import find_spec

pytest_plugins = ["tests.minutes"]

NEED_TRITON = (
    "course_lib/kernels",
    "course_lib/course/labs/lab02_kernel",
    "labs/source/02_flash_kernel.ipynb",
    "tests/unit/flash_triton_cases.py",
    "tests/unit/scan_triton_cases.py",
)
collect_ignore = [] if find_spec("triton") else list(NEED_TRITON)
