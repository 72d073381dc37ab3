"""A judge of one's own labels: from a labelled table to an adapter, and how far it agrees.

| module    | holds                                                                             |
|-----------|-----------------------------------------------------------------------------------|
| table     | a labelled table, read and checked before anything is written                     |
| overlap   | labelled items that stand in a benchmark                                          |
| splitting | training, validation and held-out items by group                                  |
| recipe    | settings, balanced pairs                                                          |
| importing | rubrics and data of other tools                                                   |
| critiques | reasons for the pairs, by a served model                                          |
| training  | `train_judge`: all of it, resumable                                               |
| comparing | the trained judge beside its base and beside rules                                |
| page      | the agreement report as one HTML file and as JSON                                 |
"""
