"""Tags that products are given by text and pictures."""
