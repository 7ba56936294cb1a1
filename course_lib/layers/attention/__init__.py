"""Attention: its forms (plain, SDPA, FlashAttention), the layer, cross-attention,
latent attention (MLA).
"""
