"""The SD module: probe, FCT scores, split, verdict."""
