"""Renders results of `fsmde evaluate` as an HTML page: documents -> sections with tables and plots, gallery -> page."""
