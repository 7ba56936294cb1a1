"""Left out of collection: what needs Triton, on a system for which none is published."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("triton") else ["course_lib/kernels", "tests/unit/flash_triton_cases.py"]
