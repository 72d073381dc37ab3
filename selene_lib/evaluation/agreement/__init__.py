"""How far a judge agrees with people's labels: `summary.agreement` puts all of it together.

| module     | holds                                                                            |
|------------|----------------------------------------------------------------------------------|
| verdicts   | a judged table as arrays: verdict, label, group, probability, texts              |
| measures   | accuracy, kappa, precision and recall, correlations, each with an interval       |
| alpha      | Krippendorff's alpha of several people, or of people and the judge               |
| passing    | the pass rate of unlabelled items, corrected by what the labels say of the judge |
| planning   | how many labels a width needs, the gap a set resolves, a threshold tried fairly  |
| summary    | one report of a judged table, and the gate for continuous integration            |
"""
