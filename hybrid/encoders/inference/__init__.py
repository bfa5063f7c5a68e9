"""Networks on OpenVINO: their conversion, and how they run."""
