"""Published models as records: their configs with sources, and a reader for any Hugging
Face config.json.
"""

from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import ModelSpec

__all__ = ["ModelSpec", "list_specs", "load_spec", "spec_from_hf_config"]
