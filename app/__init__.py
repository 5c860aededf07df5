"""The window: PySide6 and pyqtgraph; napari and VTK on first use.

Lives here: what a person sees and asks for. Of the engine it imports `engine.protocol` alone; never torch.
"""
