"""Batch systems through radical.saga, in a helper process of its own."""
