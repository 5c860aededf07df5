"""The five places of the window: each an x_model.py (QtCore only) and an x_view.py (widgets)."""
