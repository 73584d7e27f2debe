"""Results of `fsmde evaluate` as one HTML page: documents -> sections of tables and plots, a gallery -> page."""
