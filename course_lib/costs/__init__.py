"""What a model costs: parameters, FLOPs, bytes, seconds, requests. Plain arithmetic,
with no torch.

Reading order: `arithmetic` (numbers or symbols), `weights` (the matrices a token
meets), `params` (everything that is stored), `flops`, `cache`, `hardware` (published
limits), `roofline` (seconds), `serving` (requests), `selection` (one candidate among
several).
"""
