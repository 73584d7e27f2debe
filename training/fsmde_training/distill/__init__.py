"""Trains a student by distillation: rings of views, labelled and not, outputs of the teacher, terms, command lines."""
