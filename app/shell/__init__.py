"""The frame around the pages: rail, bars, palette, drop overlay, settings, help. It decides nothing about data."""
