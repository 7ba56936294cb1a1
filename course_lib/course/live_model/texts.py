"""The texts that a reader of the live model is given to start from."""

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "An error": "    if self.closed:\n        raise ValueError(",
    "A longer class": (
        "    def close(self):\n"
        "        if self.file is not None:\n"
        "            self.file.close()\n"
        "            self.file = None\n"
        "\n"
        "    def read(self, size=None):\n"
        "        return self.file.read(size)\n"
    ),
    "Imports": "import os\nimport sys\nimport ",
    "A name that nobody uses": "qzkvb = 1\nqzkvb = 2\nqzkvb = 3\nqzkvb",
    "English": "The quick brown fox jumps over the lazy dog.",
}
FIRST, LONG, *_ = TEXTS
