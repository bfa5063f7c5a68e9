"""Documents get their vectors: what is missing, the inputs of encoders, the writing of the layer, the queue."""
