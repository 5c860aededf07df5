"""Pieces that pages share. They know neither the engine nor a page."""
