"""Networks to compare TuNet with, one per module; each is imported when it is built."""
