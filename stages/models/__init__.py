"""What runs on torch, on a GPU where there is one. The package is an extra: `pip install 'headrace[models]'`."""
