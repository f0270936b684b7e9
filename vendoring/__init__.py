"""Other people's modules in the console: which, in which version, and how they get into `static/vendor/`."""
