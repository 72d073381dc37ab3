"""A judge behind HTTP: requests that come at once are judged together."""
