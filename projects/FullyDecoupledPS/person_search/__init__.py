"""Searching one's own pictures and videos for a person, with a trained network.

It sees the network through ``network.py`` and ``media/frames.py``, on the door that
``fully_decoupled_ps.predictor`` is, and draws by ``fully_decoupled_ps.visualization``.
"""
