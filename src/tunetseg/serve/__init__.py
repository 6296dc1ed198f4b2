"""The local server of ``tunet serve``: files in, what they were recognised as, progress, and the page of a patient."""
