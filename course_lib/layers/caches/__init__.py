"""KV caches: contiguous, rolling buffer, paged, quantised, latent."""
