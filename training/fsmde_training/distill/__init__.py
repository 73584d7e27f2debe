"""Distillation: rings of labelled and unlabelled views, teacher targets, terms and command line."""
