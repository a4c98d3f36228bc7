"""Other registries, layouts and archives: reading from them, writing to them, copying between them."""
