"""Training a network for one site's cameras by one command: ``person-search train``.

:func:`train_for_site` is the only door. It looks at the data, chooses what nobody has said, and
calls the trainer and the evaluator of this package, stage by stage, in a folder that it can go on
from after a kill.
"""

from .run import SiteRequest, train_for_site

__all__ = ["SiteRequest", "train_for_site"]
