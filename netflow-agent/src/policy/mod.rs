//! From edges to a rule set that knows no dialect. In: edges, objects, options. Out: rules with evidence, and gaps.
