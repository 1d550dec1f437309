"""The fused ops."""
