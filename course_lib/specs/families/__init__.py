"""One module for each group of model families: config fields in, `ModelSpec` out."""
