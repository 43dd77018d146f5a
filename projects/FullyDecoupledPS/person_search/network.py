"""The trained network, as the application sees it."""

from fully_decoupled_ps import predictor
from fully_decoupled_ps.predictor import InputMapper, PersonDetections, Predictor

from .errors import translated

__all__ = ["PersonDetections", "InputMapper", "Predictor", "load_network"]

# With this package's UserError
load_network = translated()(predictor.load_network)
