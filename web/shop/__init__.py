"""The search page for shoppers, and its pictures."""
