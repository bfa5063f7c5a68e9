"""What the layer keeps in the cluster beside products, one store a file."""
