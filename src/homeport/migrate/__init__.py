"""Moving an organisation to its own registry: plans that any registry can serve, and their execution."""
