"""A real job that is killed and hindered in many ways and restarted until it is done."""
