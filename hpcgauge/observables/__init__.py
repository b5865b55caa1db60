"""What is measured on links, and the statistics of series."""
