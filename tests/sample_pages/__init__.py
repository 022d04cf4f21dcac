"""The pages of the sample archive: texts of our own, the page furniture around them, and pages that nobody wants."""
