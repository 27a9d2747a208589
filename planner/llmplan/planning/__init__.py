"""Estimate one setup; enumerate and rank many; say what would make a model fit."""
