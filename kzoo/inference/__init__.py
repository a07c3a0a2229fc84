"""From a network's input to answers."""
