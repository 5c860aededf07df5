"""Losses and assignments that several methods share, one small pure function per equation.

Must not live here: modules with weights (networks), randomness (views), a method's own recipe.
"""
