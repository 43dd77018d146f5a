"""The trained network, as the application sees it."""

from fully_decoupled_ps import predictor
from fully_decoupled_ps.predictor import InputMapper, PersonDetections, Predictor

from .errors import translated

__all__ = ["PersonDetections", "InputMapper", "Predictor", "load_network"]


@translated()
def load_network(location: str, weights: str = "", device: str = "") -> Predictor:
    """As :func:`fully_decoupled_ps.predictor.load_network`.

    Raises:
        UserError: this package's.
    """
    return predictor.load_network(location, weights, device)
