"""Pictures and pages of explanations and evaluations; needs matplotlib (``pip install "sdfido[plot]"``)."""

try:
    from .attention_graph import attention_graph
    from .curves import curves
    from .html import page
    from .overview import Bar, Panel, draw, overview
    from .style import heatmap, save
except ModuleNotFoundError as error:
    raise ImportError(
        f'sdfido.reports needs the package {error.name}; install it with: pip install "sdfido[plot]"'
    ) from error

__all__ = ["Bar", "Panel", "attention_graph", "curves", "draw", "heatmap", "overview", "page", "save"]
