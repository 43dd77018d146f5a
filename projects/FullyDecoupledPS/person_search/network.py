"""The trained network, as the application sees it."""

from fully_decoupled_ps.predictor import InputMapper, PersonDetections, Predictor, load_network

__all__ = ["PersonDetections", "InputMapper", "Predictor", "load_network"]
