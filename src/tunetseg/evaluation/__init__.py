"""Evaluation of label maps: pairing, label schemes, scores of cohorts, comparison of methods, submissions."""
