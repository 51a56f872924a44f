"""Real networks and photographs: how much of a published backbone survives int8, and a multi-task network made of it."""
