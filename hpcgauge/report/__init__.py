"""What a run shows: progress, summary, figures and one HTML page."""
