"""Tests of datasets: store, loader, importers, samples, library."""
