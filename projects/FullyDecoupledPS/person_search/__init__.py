"""Searching one's own pictures and videos for a person, with a trained network.

Of the network's package it uses ``predictor``, ``visualization``, ``errors`` and two of ``utils``.
"""
