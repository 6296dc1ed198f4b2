"""Post-processing and calibration, chosen on predictions of patients that the models have not seen."""
