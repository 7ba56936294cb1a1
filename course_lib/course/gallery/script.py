"""What the gallery's page loads to describe a pasted config.json: `describe` and
`differences` themselves, translated.
"""

import json

from course_lib.course.calculators.config import LEFT_OUT, ROOTS, published
from course_lib.course.calculators.translate import imported, translated
from course_lib.course.calculators.vocabulary import BUILTINS

GALLERY = "course_lib.course.gallery"
CALLED = (*ROOTS, f"{GALLERY}.describe", f"{GALLERY}.differences")
"""The modules that the page calls; what these import is translated before them."""


def script() -> str:
    """Return the JavaScript file: `courseGallery` with `spec`, `describe`, `facts`,
    `differences`, `counterparts` and `configs`, the published configs as text.
    """
    configs = {name: json.dumps(config) for name, config in published().items()}
    return (
        "/* Made by course_lib.course.gallery.script from course_lib. */\n"
        "globalThis.courseGallery = (() => {\n"
        '"use strict";\nconst py = globalThis.calculatorPython;\n'
        f"const {{ {', '.join(sorted(BUILTINS))} }} = py.builtins;\n"
        f"const modules = {{}};\n{translated(imported(CALLED), LEFT_OUT)}"
        'const { spec_from_fields: spec } = modules["course_lib.specs.from_hf"];\n'
        f'const {{ describe }} = modules["{GALLERY}.describe"];\n'
        f'const {{ facts }} = modules["{GALLERY}.facts"];\n'
        f'const {{ differences }} = modules["{GALLERY}.differences"];\n'
        f'const {{ counterparts }} = modules["{GALLERY}.matching"];\n'
        f"const configs = {json.dumps(configs)};\n"
        "return { spec, describe, facts, differences, counterparts, configs };\n})();\n"
    )
