"""One model over several processes: what `torchrun` starts, or `run_ranks`."""
