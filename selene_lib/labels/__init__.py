"""A judge of one's own labels: from a labelled table to an adapter, and how far it agrees.

| module    | holds                                                                             |
|-----------|-----------------------------------------------------------------------------------|
| page      | the agreement report as one HTML file and as JSON                                 |
"""
