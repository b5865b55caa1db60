"""Losses, optimisers and the training of guides."""
