"""The search page: what it shows, made from an index, apart from the Gradio layout (``page``).

Only ``page``, ``handlers``, ``state`` and ``server`` import Gradio, which is an optional extra.
"""
