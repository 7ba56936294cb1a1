"""The index of terms: read from the modules' headers, and where each is taught."""
