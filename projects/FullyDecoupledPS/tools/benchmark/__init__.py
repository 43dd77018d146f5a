"""Measuring the network: time of inference and training, its parts, size and memory."""
