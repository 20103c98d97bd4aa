"""Projections made anew from what they are projections of."""
