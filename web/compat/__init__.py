"""Other engines' APIs, answered by the layer."""
