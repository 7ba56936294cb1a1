"""The questions of each lab: `lab_NAME`, one function an exercise (see `witness`)."""
