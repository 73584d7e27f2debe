"""How good depth is: protocols, predictors, and the run that brings them together over a recording."""
