"""What the part `serving` is made of: servers, peers among them, and the load that they get."""
