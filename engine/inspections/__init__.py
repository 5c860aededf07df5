"""How each inspection kind is computed from a model, and projections of embeddings.

Lives here: arrays from models, within the inspection budget.
Must not live here: viewers, or a special case for one method.
"""
