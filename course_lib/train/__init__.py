"""Training: one seeded loop that stops and resumes without changing a bit."""
