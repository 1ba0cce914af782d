"""Synthetic traces of rollouts and of stable versions, each with its truth, and what a judge makes of them."""
